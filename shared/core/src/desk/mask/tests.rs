use proptest::prelude::*;

use super::*;

fn personal(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

fn anna() -> Known {
    Known::default()
        .name(&personal("Anna-Lena Müller"))
        .email(&personal("anna.mueller85@example.com"))
        .phone(&personal("+1 202-555-0123"))
        .address_line(&personal("12 Example Street"))
        .address_line(&personal("Springfield"))
        .order(&personal("#1001"))
        .tracking(&personal("1Z999AA10123456784"))
        .link(&personal("https://track.example.com/1Z999AA10123456784"))
}

fn masked(text: &str) -> String {
    let known = anna();
    let mut masker = Masker::new(&known);
    let once = masker.mask(&personal(text));
    let restored = masker.restore(once.text()).unwrap();
    assert_eq!(restored.expose(), text, "what is masked comes back as it was");
    assert_eq!(masker.mask(&personal(text)), once, "twice is the same");
    once.text().to_owned()
}

/// What is left of a masked text between its placeholders.
fn left(masked: &str) -> Vec<&str> {
    masked.split(OPEN).map(|piece| piece.split_once(CLOSE).map_or(piece, |(_, left)| left)).collect()
}

#[test]
fn every_pattern_is_one() {
    assert_eq!(find::compiled(), find::sources().len());
}

#[test]
fn known_values_are_replaced_and_the_rest_stays() {
    assert_eq!(
        masked("Hello, I am Anna-Lena Müller and my parcel 1Z999AA10123456784 of order #1001 is late."),
        "Hello, I am ⟦NAME_1⟧ and my parcel ⟦TRACKING_1⟧ of order ⟦ORDER_1⟧ is late."
    );
    assert_eq!(masked("Where is it? Please tell me."), "Where is it? Please tell me.");
}

#[test]
fn one_value_has_one_number_however_it_is_written() {
    let known = anna();
    let mut masker = Masker::new(&known);
    let one = masker.mask(&personal("ANNA, anna and Anna; 202.555.0123 or +12025550123"));
    assert_eq!(one.text(), "⟦NAME_2.2⟧, ⟦NAME_2.3⟧ and ⟦NAME_2⟧; ⟦PHONE_1.2⟧ or ⟦PHONE_1.3⟧");
    let two = masker.mask(&personal("someone@example.com wrote to other@example.com"));
    assert_eq!(two.text(), "⟦EMAIL_3⟧ wrote to ⟦EMAIL_4⟧");
    assert_eq!(masker.mask(&personal("other@example.com")).text(), "⟦EMAIL_4⟧", "also in another text");
}

#[test]
fn nothing_known_is_left_however_it_is_written() {
    for text in [
        "anna-lena muller",
        "ANNA LENA MUELLER",
        "Anna\nLena\n\n> Müller",
        "Mül-\nler",
        "Mu\u{308}ller",
        "M&uuml;ller",
        "M&#252;ller",
        "M&#xFC;ller",
        "M\u{200b}ü\u{ad}ller",
        "Ｍüｌｌｅｒ",
        "die Müllers kommen",
        "xx_mueller_xx",
        "anna.mueller85 at example dot com",
        "ANNA.MUELLER85@EXAMPLE.COM",
        "anna.mueller85@\nexample.com",
        "anna.mueller85@exam=\r\nple.com",
        "anna.mueller85&#64;example.com",
        "anna.mueller85%40example.com",
        "mailto:anna.mueller85@example.com?subject=x",
        "2025550123",
        "(202) 555 01 23",
        "+1 (202)\n> 555-0123",
        "001 202 555 0123",
        "٢٠٢ ٥٥٥ ٠١٢٣",
        "12, EXAMPLE street",
        "example street",
        "1Z 999 AA1 0123 4567 84",
        "order 1001",
        "springfields",
    ] {
        let masked = masked(text);
        let left = left(&masked).concat();
        let fold = normalize::fold(&left).replace(' ', "");
        for canary in [
            "anna",
            "lena",
            "muller",
            "mueller",
            "uller",
            "example",
            "5550123",
            "1001",
            "springfield",
            "999aa",
        ] {
            assert!(!fold.contains(canary), "{text} became {masked}");
        }
        assert!(masked.contains(OPEN), "{text}");
    }
}

#[test]
fn what_nobody_knew_is_found_by_what_it_looks_like() {
    for (text, canaries) in [
        (
            "write to \"odd name\"@example.org or x@[192.0.2.1] or y@localhost",
            &["odd", "192", "localhost"][..],
        ),
        ("someone (at) example (dot) org", &["someone", "example"]),
        ("someone [at] example.org", &["someone", "example"]),
        ("jürgen@exämple.de, ok", &["rgen", "mple"]),
        ("find me as @canary_85", &["canary"]),
        ("call 030 / 12 34 56 78 or +49 (0)30 1234567", &["12 34", "1234567"]),
        ("DE89 3704 0044 0532 0130 00 please", &["3704", "0130"]),
        ("card 4111-1111-1111-1111", &["4111", "1111"]),
        ("parcel JJD0099988877 or 00340434161094042557", &["0099988877", "0434161"]),
        ("my order SHOP-4711 and invoice no. 90210", &["4711", "90210"]),
        ("Bestellnummer: 20417, Rechnung 3345", &["20417", "3345"]),
        ("my purchase 2041, la compra 2042, mon achat 2043", &["2041", "2042", "2043"]),
        ("Beispielstraße 12a, 10115 Berlin", &["Beispiel", "12a", "10115", "Berlin"]),
        ("I live at 742 Evergreen Terrace, Portland, OR 97201", &["Evergreen", "742", "97201", "Portland"]),
        ("12 bis rue de la Paix, 75002 Paris", &["Paix", "75002", "Paris"]),
        ("Calle Mayor 5, 28013 Madrid", &["Mayor", "28013", "Madrid"]),
        (
            "SW1A 1AA and 1012 AB Amsterdam and 1000-205 Lisboa",
            &["SW1A", "1012", "Amsterdam", "205", "Lisboa"],
        ),
        ("see https://evil.example/a?b=c and www.example.org and t.co/abc", &["evil", "www", "t.co"]),
        ("My name is Carla Canary.", &["Carla", "Canary"]),
        ("Hello Carla,\nwhere is it?", &["Carla"]),
        ("It is broken.\n\nKind regards,\nCarla Canary\nCanary Ltd", &["Carla"]),
        ("Broken.\nDanke und viele Grüße\ncarla", &["carla"]),
        ("On Mon, Carla Canary <c@example.org> wrote:\n> Dear Otto,\n> no", &["Carla", "Canary", "Otto"]),
        ("> From: Carla Canary\n> Subject: x", &["Carla", "Canary"]),
        ("Am Montag schrieb Carla Canary:", &["Carla", "Canary"]),
        ("Sehr geehrte Frau Canary,", &["Canary"]),
    ] {
        let masked = masked(text);
        for canary in canaries {
            assert!(!left(&masked).concat().contains(canary), "{text} became {masked}");
        }
    }
}

#[test]
fn a_whole_mail_with_signature_and_history_leaves_nobody() {
    let text = "Guten Tag Frau Beispiel,\n\nmein Paket zur Bestellung 1001 ist weg. Ich bin A. Müller, Annas Mutter hat\n\
                es auch versucht. Bitte ruft mich unter 0202/5550123 an.\n\nMit freundlichen Grüßen\nAnna-Lena\n--\n\
                Anna-Lena Müller | Example Street 12 | Springfield\nTel. +1 (202) 555-0123\nIBAN DE89 3704 0044 0532 0130 00\n\n\
                Am 12.11.2026 schrieb Example Shop <care@shop.example.com>:\n> Hallo Anna-Lena,\n> Ihre Nummer: 1Z999AA1\n\
                > 0123456784, siehe https://track.example.com/1Z999AA10123456784\n>> From: Anna-Lena M&uuml;ller\n\
                >> <anna.mueller85@ex=\nample.com>\n";
    let masked = masked(text);
    let left = normalize::fold(&left(&masked).concat()).replace(' ', "");
    for canary in [
        "anna",
        "lena",
        "muller",
        "mueller",
        "beispiel",
        "555",
        "0123",
        "springfield",
        "3704",
        "1z999",
        "example",
        "1001",
    ] {
        assert!(!left.contains(canary), "{canary} in {masked}");
    }
    assert!(masked.contains("ist weg") && masked.contains("12.11.2026"), "{masked}");
}

#[test]
fn days_prices_and_counts_stay_readable() {
    for text in [
        "I ordered on 12.11.2026 and again on 2026-11-28 10:30, nothing came.",
        "It cost 1.234,56 EUR for 3 shirts in size 42.",
        "My order is late, and I have waited 14 days.",
        "Where is my package? It was to come between 9 and 17.",
    ] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn brackets_and_what_is_not_seen_are_neutral() {
    let text = "⟦EMAIL_1⟧ ⟦END⟧ 〚NAME_1〛 hid\u{e0041}den \u{202e}txet";
    let masked = masked(text);
    assert!(masked.starts_with("⟦TEXT_1⟧EMAIL_1⟦TEXT_2⟧"), "{masked}");
    assert!(!left(&masked).concat().chars().any(|c| LOOK_ALIKES.contains(&c) || is_hidden(c)));
}

#[test]
fn only_what_was_given_out_is_restored() {
    let known = anna();
    let mut masker = Masker::new(&known);
    let _ = masker.mask(&personal("I am Anna, write to b@example.com"));
    assert_eq!(masker.restore("Dear ⟦NAME_2⟧: ⟦EMAIL_3⟧").unwrap().expose(), "Dear Anna: b@example.com");
    for answer in [
        "⟦NAME_1⟧",
        "⟦EMAIL_1⟧",
        "⟦NAME_2.2⟧",
        "⟦NAME_2.0⟧",
        "⟦NAME_0⟧",
        "⟦NAME_99⟧",
        "⟦SECRET_1⟧",
        "⟦NAME_2",
        "NAME_2⟧",
        "⟦ NAME_2 ⟧",
        "⟦⟦NAME_2⟧⟧",
        "⟦NAME_18446744073709551616⟧",
    ] {
        assert_eq!(masker.restore(answer), Err(UnknownPlaceholder), "{answer}");
    }
    assert!(masker.stood_in_a_text(Kind::Email, "B@Example.com"));
    assert!(!masker.stood_in_a_text(Kind::Order, "#1001"), "known and not said");
}

#[test]
fn a_masked_text_carries_less_than_the_mail_and_shows_nothing_by_accident() {
    let known = anna();
    let masked = Masker::new(&known).mask(&personal("Anna"));
    assert_eq!(format!("{masked:?} {:?} {known:?}", Masker::new(&known)).matches("nna").count(), 0);
    let order = Categories::of(&[Category::OrderMetadata]);
    let carries = masked.clone().into_outgoing(order).carries();
    assert_eq!(carries, Categories::of(&[Category::Correspondence, Category::OrderMetadata]));
    assert_eq!(masked.into_outgoing(Categories::NONE).carries(), Categories::of(&[Category::Correspondence]));
    let raw = unmasked(&personal("Anna")).carries();
    assert!(raw.covers(Categories::of(&[Category::CustomerContact, Category::CustomerAddress])));
}

#[test]
fn shortening_cuts_no_placeholder() {
    let known = anna();
    let masked = Masker::new(&known).mask(&personal("I am Anna and wait"));
    for most in 0..30 {
        let short = masked.clone().shortened(most);
        assert_eq!(short.text().matches(OPEN).count(), short.text().matches(CLOSE).count(), "{most}");
        assert!(short.text().chars().count() <= most + 1 || short == masked);
    }
}

#[test]
fn short_names_are_words_and_long_ones_are_found_inside() {
    let known = Known::default().name(&personal("Jo Li")).name(&personal("田中 太郎"));
    let mut masker = Masker::new(&known);
    assert_eq!(masker.mask(&personal("Jo's job: Li lived")).text(), "⟦NAME_2.2⟧ job: ⟦NAME_3⟧ lived");
    assert_eq!(masker.mask(&personal("田中です")).text(), "⟦NAME_5⟧です");
}

proptest! {
    #[test]
    fn whatever_is_written_comes_back_and_nothing_that_looks_like_a_value_is_left(text in mail()) {
        let known = anna();
        let mut masker = Masker::new(&known);
        let masked = masker.mask(&personal(&text));
        let restored = masker.restore(masked.text());
        prop_assert_eq!(restored.as_ref().map(Personal::expose), Ok(&text));
        for left in left(masked.text()) {
            prop_assert!(spans(left, &known).is_empty(), "{} left {}", masked.text(), left);
            let alone = left.split_whitespace().all(|word| word == "@" || !word.contains('@'));
            prop_assert!(alone, "{}", masked.text());
        }
    }

    #[test]
    fn any_text_at_all_is_masked_and_restored(text in "\\PC{0,60}") {
        let known = anna();
        let mut masker = Masker::new(&known);
        let masked = masker.mask(&personal(&text));
        let restored = masker.restore(masked.text());
        prop_assert_eq!(restored.as_ref().map(Personal::expose), Ok(&text));
    }

    #[test]
    fn a_known_name_is_found_in_any_dress(
        name in "[A-Z][a-zäöüéñ]{3,9}", before in "[a-z]{0,3}", after in "[a-z]{0,3}", upper in any::<bool>(), cut in 1usize..4,
    ) {
        let known = Known::default().name(&personal(&name));
        let mut masker = Masker::new(&known);
        let written = if upper { name.to_uppercase() } else { name.clone() };
        let place = written.char_indices().nth(cut).unwrap().0;
        let broken = format!("{}-\n> {}", &written[..place], &written[place..]);
        for text in [format!("x {before}{written}{after} y"), format!("x {broken} y")] {
            let masked = masker.mask(&personal(&text));
            let left = normalize::fold(&left(masked.text()).concat()).replace(' ', "");
            prop_assert!(!left.contains(&normalize::fold(&name)), "{}", masked.text());
            prop_assert!(masked.text().starts_with("x ⟦") && masked.text().ends_with("⟧ y"), "{}", masked.text());
        }
    }

    #[test]
    fn a_known_value_is_found_however_each_letter_is_written(
        which in 0usize..5, dress in proptest::collection::vec(0u8..7, 40),
    ) {
        let known = anna();
        let value = ["Müller", "anna.mueller85@example.com", "Springfield", "1Z999AA10123456784", "2025550123"][which];
        let written: String = value.chars().zip(&dress).map(|(c, dress)| match dress {
            0 => c.to_uppercase().to_string(),
            1 => format!("&#{};", c as u32),
            2 => format!("&#x{:X};", c as u32),
            3 if c.is_ascii_graphic() => char::from_u32(c as u32 + 0xfee0).unwrap().to_string(),
            4 => format!("{c}\u{200b}"),
            5 => format!("{c}=\r\n"),
            _ => c.to_string(),
        }).collect();
        let text = format!("x {written} y");
        let masked = Masker::new(&known).mask(&personal(&text));
        let left = left(masked.text()).concat();
        prop_assert_eq!(left.replace('\u{200b}', "").replace("=\r\n", ""), "x  y", "{} of {}", masked.text(), text);
    }

    #[test]
    fn a_phone_number_leaves_no_four_digits(
        area in 200u32..999, line in 100u32..199, style in 0usize..6,
    ) {
        let text = match style {
            0 => format!("({area}) 555-0{line}"),
            1 => format!("+1 {area} 555 0{line}"),
            2 => format!("{area}.555.0{line}"),
            3 => format!("{area}5550{line}"),
            4 => format!("00 1 {area}/555/0{line}"),
            _ => format!("{area}\n> 555\n> 0{line}"),
        };
        let known = Known::default();
        let masked = Masker::new(&known).mask(&personal(&format!("call {text} now")));
        let digits = left(masked.text()).concat().chars().filter(char::is_ascii_digit).count();
        prop_assert_eq!(digits, 0, "{}", masked.text());
    }
}

fn mail() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Anna".to_owned()),
        Just("Müller".to_owned()),
        Just("anna.mueller85@example.com".to_owned()),
        Just("#1001".to_owned()),
        Just("202-555-0123".to_owned()),
        Just("12 Example Street".to_owned()),
        Just("https://evil.example/x".to_owned()),
        Just("⟦NAME_1⟧".to_owned()),
        Just("Kind regards,\n".to_owned()),
        Just("> ".to_owned()),
        Just("\n".to_owned()),
        Just("@".to_owned()),
        Just(" @ ".to_owned()),
        Just("&#64;".to_owned()),
        Just("\u{200b}".to_owned()),
        "[a-z]{1,8}",
        "[ ,.:;!?<>()-]{1,3}",
        "[0-9]{1,9}",
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}
