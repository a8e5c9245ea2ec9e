use proptest::prelude::*;

use super::lexicon::{FILES, Lexicon};
use super::text::MOST_CHARACTERS;
use super::*;

/// Mails in our own words, each with what it is about and its language: `testdata/intents.tsv`.
fn samples() -> Vec<(Intent, Language, &'static str)> {
    include_str!("../../testdata/intents.tsv")
        .lines()
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let intent = Intent::named(fields.next().unwrap()).unwrap();
            (intent, Language::of_code(fields.next().unwrap()).unwrap(), fields.next().unwrap())
        })
        .collect()
}

fn told(text: &str) -> Classified {
    classify(&Reading { subject: None, text })
}

fn intent(text: &str) -> Intent {
    told(text).intent
}

fn sure(told: &Classified) -> bool {
    told.confidence >= Confidence::of_basis_points(8_000)
}

#[test]
fn every_lexicon_is_read_whole() {
    let wrong: Vec<(&str, Vec<String>)> =
        FILES.iter().map(|(language, file)| (language.code(), Lexicon::parse(file).1)).collect();
    assert!(wrong.iter().all(|(_, lines)| lines.is_empty()), "{wrong:#?}");
}

#[test]
fn mails_in_seven_languages_are_told_apart_and_who_is_sure_is_right() {
    let samples = samples();
    let mut wrong = Vec::new();
    let (mut sure_ones, mut sure_and_wrong) = (0, 0);
    for &(label, _, text) in &samples {
        let told = told(text);
        let right = told.intent == label;
        sure_ones += usize::from(sure(&told));
        sure_and_wrong += usize::from(sure(&told) && !right);
        if !right {
            wrong.push((label, told.intent, text));
        }
    }
    assert!(wrong.len() * 50 <= samples.len(), "{wrong:#?}");
    assert!(sure_and_wrong * 50 <= sure_ones, "{sure_and_wrong} of {sure_ones} sure ones are wrong");
    assert!(sure_ones * 3 > samples.len(), "only {sure_ones} of {} are sure", samples.len());
}

#[test]
fn no_customer_is_taken_for_a_spammer() {
    for (label, _, text) in samples() {
        assert!(label == Intent::Spam || intent(text) != Intent::Spam, "{text}");
    }
}

#[test]
fn the_language_of_a_mail_is_told_or_left_open_and_not_mistaken() {
    let samples = samples();
    let mut open = 0;
    for &(_, language, text) in &samples {
        let found = told(text).language;
        open += usize::from(found.is_none());
        assert!(found.is_none_or(|found| found == language), "{text}: {found:?}");
    }
    assert!(open * 20 <= samples.len(), "{open} of {} were left open", samples.len());
}

#[test]
fn languages_without_a_lexicon_are_told_and_left_to_others() {
    for (text, language) in [
        ("Var är mitt paket? Jag har inte fått det.", Language::Swedish),
        ("Gdzie jest moja paczka? Nie dostałem jej jeszcze.", Language::Polish),
        ("荷物はまだ届いていません。", Language::Japanese),
        ("Где моя посылка?", Language::Russian),
        ("Де моя посилка? Її ще немає", Language::Ukrainian),
        ("제 소포는 어디에 있나요?", Language::Korean),
        ("Πού είναι το δέμα μου;", Language::Greek),
    ] {
        let told = told(text);
        assert_eq!(told.language, Some(language), "{text}");
        assert_eq!(told.intent, Intent::Question, "{text}");
        assert!(told.confidence < Confidence::of_basis_points(5_000), "{text}");
    }
}

#[test]
fn a_language_is_named_by_its_code_in_any_form() {
    for &language in Language::ALL {
        assert_eq!(Language::of_code(&language.code().to_uppercase()), Some(language));
        assert_eq!(serde_json::to_value(language).unwrap(), language.code());
    }
    assert_eq!(Language::of_code("pt-BR"), Some(Language::Portuguese));
    assert_eq!(Language::of_code("xx"), None);
}

#[test]
fn who_declines_a_refund_is_not_given_one() {
    for (wants, declines) in [
        ("I want a refund.", "I don't want a refund."),
        ("Please refund me.", "Please do not refund me."),
        ("A refund is needed.", "A refund is not needed."),
        ("I need a refund, no exchange.", "I need an exchange, no refund needed."),
        ("Ich möchte eine Rückerstattung.", "Ich möchte keine Rückerstattung."),
        ("Je veux un remboursement.", "Je ne veux pas de remboursement."),
        ("Quiero un reembolso.", "No quiero un reembolso."),
        ("Voglio un rimborso.", "Non voglio un rimborso."),
        ("Quero um reembolso.", "Não quero um reembolso."),
        ("Ik wil een terugbetaling.", "Ik wil geen terugbetaling."),
    ] {
        assert_eq!(intent(wants), Intent::Refund, "{wants}");
        let told = told(declines);
        assert_eq!(told.intent, Intent::Question, "{declines}");
        assert!(told.evidence.iter().any(|found| found.negated && found.bits < 0.0), "{declines}");
    }
}

#[test]
fn that_a_refund_has_not_come_does_not_decline_it() {
    for text in [
        "I have not received my refund.",
        "Why is there no refund?",
        "Die Rückerstattung ist nicht angekommen.",
        "Le remboursement n'est pas arrivé.",
        "El reembolso no ha llegado.",
        "Il rimborso non è arrivato.",
        "O reembolso não chegou.",
        "De terugbetaling is niet binnen.",
    ] {
        assert_eq!(intent(text), Intent::Refund, "{text}");
    }
}

#[test]
fn money_and_messages_that_have_not_come_are_no_shipment() {
    for text in [
        "My transfer has not arrived.",
        "The confirmation email has not arrived.",
        "My top up did not arrive.",
    ] {
        assert_eq!(intent(text), Intent::Question, "{text}");
    }
    assert_eq!(intent("My parcel has not arrived."), Intent::Shipping);
}

#[test]
fn the_sentence_that_decided_is_the_customers_and_the_evidence_is_not() {
    let text = "Hello, this is CANARY from Example Street. My jacket CANARY is too small!\nI want my money back, \
                CANARY. Do you also sell hats?";
    let told = told(text);
    assert_eq!(told.intent, Intent::Refund);
    assert_eq!(told.sentence.expose(), "I want my money back, CANARY.");
    assert!(!format!("{told:?}").to_lowercase().contains("canary"));
    assert!(!serde_json::to_string(&told.evidence).unwrap().to_lowercase().contains("canary"));
    let names: Vec<&str> = told.evidence.iter().map(|found| found.term.as_str()).collect();
    assert!(names.contains(&"money ..3 back"), "{names:?}");
}

#[test]
fn a_subject_counts_and_that_of_a_reply_hardly() {
    let with = |subject| classify(&Reading { subject: Some(subject), text: "Please see above. Thanks" });
    assert_eq!(with("Refund for my order").intent, Intent::Refund);
    assert_eq!(with("Re: Refund for my order").intent, Intent::Question);
    assert_eq!(with("AW: Your order has been shipped").intent, Intent::Question);
}

#[test]
fn an_empty_mail_is_a_question_nobody_is_sure_of() {
    for text in ["", " \n\t", "…", "\u{200b}"] {
        let told = told(text);
        assert_eq!((told.intent, told.confidence), (Intent::Question, Confidence::NONE), "{text:?}");
        assert!(told.evidence.is_empty() && told.language.is_none());
    }
}

#[test]
fn of_a_mail_of_megabytes_only_the_beginning_is_read() {
    let begins = format!("{}\n\n", "I want my money back. ".repeat(MOST_CHARACTERS / 22 + 1));
    let long = format!("{begins}{}", "Where is my parcel? ".repeat(200_000));
    assert_eq!(told(&long), told(&begins));
    assert_eq!(intent(&"refund".repeat(500_000)), Intent::Question);
    assert_eq!(intent(&"a ".repeat(2_000_000)), Intent::Question);
}

#[test]
fn umlauts_may_be_spelled_out_and_slips_of_the_finger_are_seen_through() {
    for text in
        ["Rueckerstattung bitte", "RÜCKERSTATTUNG BITTE", "where is my refnud", "i want a reufnd please"]
    {
        assert_eq!(intent(text), Intent::Refund, "{text}");
    }
    assert_eq!(intent("where is my pakcage"), Intent::Shipping);
    assert_eq!(intent("add eggs to the shopping list"), Intent::Question);
}

#[test]
fn what_is_kept_can_be_read_again() {
    let told = told("Where is my parcel?");
    let kept = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Classified>(&kept).unwrap(), told);
    assert!(kept.contains(r#""intent":"shipping""#), "{kept}");
    for intent in Intent::ALL {
        assert_eq!(Intent::named(intent.name()), Some(intent));
        assert_eq!(serde_json::to_value(intent).unwrap(), intent.name());
    }
    assert_eq!(serde_json::from_str::<Confidence>("20000").unwrap(), Confidence::CERTAIN);
}

fn any_sample() -> impl Strategy<Value = &'static str> {
    let texts: Vec<&'static str> = samples().into_iter().map(|(_, _, text)| text).collect();
    prop::sample::select(texts)
}

/// Words of mails in any order, with what else may stand between them.
fn scrambled() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = samples().into_iter().flat_map(|(_, _, text)| text.split(' ')).collect();
    let part = prop_oneof![
        8 => prop::sample::select(words).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => prop::sample::select(vec!["\n", "\r\n\r\n", ".", "?", "@", "http://", "'", "\u{301}", "#link", "%"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.join(" "))
}

proptest! {
    #[test]
    fn any_text_has_an_answer_and_always_the_same(text in prop_oneof![any::<String>(), scrambled()], subject: Option<String>) {
        let reading = Reading { subject: subject.as_deref(), text: &text };
        let told = classify(&reading);
        prop_assert_eq!(&told, &classify(&reading));
        let sentence = told.sentence.expose();
        prop_assert!(text.contains(sentence.as_str()) || subject.is_some_and(|subject| subject.contains(sentence.as_str())));
        if let Some((second, less)) = told.runner_up {
            prop_assert!(second != told.intent);
            prop_assert!(less <= told.confidence || told.evidence.is_empty());
        }
    }

    #[test]
    fn the_confidence_can_be_reckoned_again_from_the_evidence(text in scrambled()) {
        let told = told(&text);
        let words = text.split_whitespace().count();
        // Beyond that length and number of findings the evidence is not the whole sum.
        prop_assume!(words < 40 && told.evidence.len() < 24 && !told.evidence.is_empty());
        let sum = |intent: Intent| {
            let found = told.evidence.iter().filter(|found| found.intent == intent);
            intent.prior() + found.map(|found| found.bits).sum::<f64>()
        };
        let odds = |intent: Intent| (sum(intent) * 0.8).exp2();
        let all: f64 = Intent::ALL.into_iter().map(odds).sum();
        prop_assert!((odds(told.intent) / all - told.confidence.ratio()).abs() < 0.001);
    }

    #[test]
    fn case_and_diacritics_do_not_matter(text in any_sample()) {
        let plain: String = {
            use unicode_normalization::UnicodeNormalization as _;
            text.nfd().filter(|&part| !unicode_normalization::char::is_combining_mark(part)).collect()
        };
        let decomposed: String = unicode_normalization::UnicodeNormalization::nfd(text).collect();
        let expected = told(text);
        for other in [plain, decomposed, text.to_uppercase(), text.to_lowercase()] {
            let told = told(&other);
            prop_assert_eq!((told.intent, told.confidence), (expected.intent, expected.confidence), "{}", other);
        }
    }

    #[test]
    fn what_says_nothing_does_not_change_a_sure_answer(
        text in any_sample(),
        before in prop::sample::subsequence(vec!["Hello there.", "I hope you are well.", "It rained all day here."], 0..3),
        after in prop::sample::subsequence(vec!["Kind regards", "Sent while walking the dog.", "The sea was lovely and blue."], 0..3),
    ) {
        let alone = told(text);
        prop_assume!(sure(&alone) && alone.language == Some(Language::English));
        let whole = format!("{}\n\n{text}\n\n{}", before.join(" "), after.join("\n"));
        let told = told(&whole);
        prop_assert_eq!(told.intent, alone.intent, "{}", whole);
    }
}
