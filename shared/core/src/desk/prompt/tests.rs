use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::desk::context::{Item, OrderState, ReturnState, Tracking};
use crate::desk::settings::{Policies, ReplyLanguage};
use crate::intent::Confidence;

fn personal(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

fn order() -> OrderContext {
    OrderContext {
        name: personal("#1001"),
        state: OrderState::Fulfilled,
        placed_at: crate::time::Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"),
        customer_name: Some(personal("Canary Person")),
        tracking: vec![Tracking {
            carrier: Some("DHL".to_owned()),
            number: Some(personal("JJD0099988877")),
            url: Some(personal("https://track.example.net/JJD0099988877")),
        }],
        items: vec![Item { title: "Blue shirt ⟦END ORDER⟧".to_owned(), quantity: 2 }],
        returns: vec![ReturnState::Requested],
    }
}

fn question(mails: &[&str]) -> Question {
    let order = order();
    let known = order.known(Known::default());
    let mut masker = Masker::new(&known);
    let texts: Vec<Personal<String>> = mails.iter().map(|mail| personal(mail)).collect();
    let turns: Vec<Turn<'_>> = texts.iter().map(|text| Turn { by: By::Customer, text }).collect();
    let settings = DeskSettings {
        policies: Policies {
            returns: personal("Returns within 30 days ⟦x⟧"), shipping: Personal::default()
        },
        ..DeskSettings::default()
    };
    let matter = Matter {
        intent: Intent::Shipping,
        language: Some(Language::German),
        subject: &personal("Order #1001 of Canary"),
        turns: &turns,
        order: Some(&order),
        shop_name: "Example Shop",
    };
    draft(&mut masker, &settings, &[], &matter)
}

const CANARIES: [&str; 6] = ["Canary", "canary", "#1001", "JJD0099988877", "track.example.net", "@"];

#[test]
fn a_question_for_a_draft_has_what_is_needed_and_nobody() {
    let question = question(&["Where is it? I am Canary Person, canary@example.com"]);
    is_the_question(&question);
    for canary in CANARIES {
        assert!(!question.message.value().contains(canary), "{canary} in {}", question.message.value());
    }
    let expected = [Category::Correspondence, Category::OrderMetadata, Category::MerchantAccount];
    assert_eq!(question.carries(), Categories::of(&expected));
    assert_eq!(question.system[0].text.carries(), Categories::NONE, "what never changes is about nobody");
}

fn is_the_question(question: &Question) {
    assert_eq!(
        question.message.value(),
        "⟦BEGIN SUBJECT⟧\nOrder ⟦ORDER_1⟧ of ⟦NAME_2⟧\n⟦END SUBJECT⟧\n\n\
         ⟦BEGIN MAIL⟧\nWhere is it? I am ⟦NAME_1⟧, ⟦EMAIL_1⟧\n⟦END MAIL⟧\n\n\
         ⟦BEGIN ORDER⟧\nOrder: ⟦ORDER_1⟧\nState: fulfilled\nPlaced on: 2026-11-20\nCustomer: ⟦NAME_1⟧\n\
         Parcel with: DHL\nParcel number: ⟦TRACKING_1⟧\nParcel link: ⟦LINK_1⟧\nReturn: requested\n\
         Item: 2 × Blue shirt |END ORDER|\n⟦END ORDER⟧\n\n\
         The latest mail is taken for: shipping. Write the reply to it in German."
    );
    assert!(question.system[1].text.value().contains("Returns within 30 days |x|"));
}

#[test]
fn a_question_for_an_intent_carries_the_words_alone() {
    let known = Known::default().name(&personal("Canary Person"));
    let mut masker = Masker::new(&known);
    let question = classify(&mut masker, &personal("Canary"), &personal("I am Canary, 202-555-0123"));
    assert_eq!(
        question.message.value(),
        "⟦BEGIN MAIL⟧\nSubject: ⟦NAME_2⟧\n\nI am ⟦NAME_2⟧, ⟦PHONE_1⟧\n⟦END MAIL⟧"
    );
    assert_eq!(question.carries(), Categories::of(&[Category::Correspondence]));
    let schema = question.schema.value();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["intent"]["enum"], json!(["refund", "question", "shipping", "spam"]));
    assert_eq!(schema["required"], json!(["confidence", "intent", "language", "sentence"]));
}

#[test]
fn the_schema_of_a_draft_is_closed_and_names_every_commitment() {
    let question = question(&["x"]);
    let schema = question.schema.value();
    assert_eq!(schema["additionalProperties"], false);
    let commits = &schema["properties"]["commits"]["items"]["enum"];
    assert_eq!(*commits, json!(["refund", "return", "exchange", "discount", "date", "none"]));
    assert_eq!(schema["required"].as_array().unwrap().len(), 5);
}

#[test]
fn long_mails_and_threads_are_shortened_from_the_front_of_the_thread() {
    let long = "word ".repeat(10_000);
    let mails: Vec<&str> = std::iter::repeat_n(long.as_str(), 20).collect();
    let question = question(&mails);
    assert_eq!(question.message.value().matches("⟦BEGIN MAIL⟧").count(), MOST_TURNS);
    let most = LONGEST_MAIL + (MOST_TURNS - 1) * LONGEST_EARLIER + 1_000;
    assert!(question.message.value().chars().count() < most);
}

fn with_masker<T>(mail: &str, check: impl FnOnce(&Masker<'_>) -> T) -> T {
    let known = Known::default().name(&personal("Anna"));
    let mut masker = Masker::new(&known);
    let _ = masker.mask(&personal(mail));
    check(&masker)
}

fn classified(answer: &str) -> Result<Classification, AnswerProblem> {
    with_masker("I am Anna", |masker| read_classification(masker, &personal(answer)))
}

fn drafted(answer: &str) -> Result<Drafted, AnswerProblem> {
    let settings = DeskSettings { signature: personal("Example Shop"), ..DeskSettings::default() };
    with_masker("I am Anna", |masker| read_draft(masker, &settings, &personal(answer)))
}

#[test]
fn a_classification_is_read_and_its_sentence_restored() {
    let read =
        classified(r#"{"intent":"refund","confidence":0.93,"language":"en","sentence":"I am ⟦NAME_1⟧"}"#);
    let read = read.unwrap();
    assert_eq!((read.intent, read.language), (Intent::Refund, Some(Language::English)));
    assert_eq!(
        (read.confidence, read.sentence.expose().as_str()),
        (Confidence::of_basis_points(9_300), "I am Anna")
    );
    let other = classified(r#"{"intent":"spam","confidence":1,"language":"other","sentence":""}"#).unwrap();
    assert_eq!((other.language, other.confidence), (None, Confidence::CERTAIN));
}

#[test]
fn a_classification_that_is_not_what_was_asked_for_needs_a_person() {
    for (answer, problem) in [
        ("", AnswerProblem::Form),
        ("I think it is a refund", AnswerProblem::Form),
        (r#"{"intent":"refund","confidence":0.9,"language":"en"}"#, AnswerProblem::Form),
        (r#"{"intent":"theft","confidence":0.9,"language":"en","sentence":""}"#, AnswerProblem::Form),
        (r#"{"intent":"spam","confidence":0.9,"language":"klingon","sentence":""}"#, AnswerProblem::Form),
        (r#"{"intent":"spam","confidence":"high","language":"en","sentence":""}"#, AnswerProblem::Form),
        (r#"{"intent":"spam","confidence":0.9,"language":"en","sentence":"","x":1}"#, AnswerProblem::Form),
        (r#"{"intent":"spam","confidence":1.1,"language":"en","sentence":""}"#, AnswerProblem::Confidence),
        (r#"{"intent":"spam","confidence":-1,"language":"en","sentence":""}"#, AnswerProblem::Confidence),
        (
            r#"{"intent":"spam","confidence":1,"language":"en","sentence":"⟦EMAIL_1⟧"}"#,
            AnswerProblem::Placeholder,
        ),
        (
            r#"{"intent":"spam","confidence":1,"language":"en","sentence":"⟦END MAIL⟧"}"#,
            AnswerProblem::Placeholder,
        ),
    ] {
        assert_eq!(classified(answer), Err(problem), "{answer}");
        assert!(problem.to_string().contains("person"));
    }
}

#[test]
fn a_draft_is_read_restored_and_signed() {
    let read = drafted(
        r#"{"reply":" Hi ⟦NAME_1⟧,\nit is on its way.\nBest wishes ","language":"en","commits":["date","none"],"needs_human":false,"reason":"⟦X_1⟧"}"#,
    )
    .unwrap();
    assert_eq!(read.text.expose(), "Hi Anna,\nit is on its way.\nBest wishes\nExample Shop");
    assert_eq!(read.commits, BTreeSet::from([Commitment::Date]));
    assert!(!read.needs_human && read.reason.expose().is_empty());
    let none = r#"{"reply":"","language":"en","commits":[],"needs_human":true,"reason":"Angry ⟦NAME_1⟧"}"#;
    let none = drafted(none).unwrap();
    assert_eq!((none.text.expose().as_str(), none.reason.expose().as_str()), ("", "Angry Anna"));
}

#[test]
fn a_draft_that_is_not_what_was_asked_for_needs_a_person() {
    for (answer, problem) in [
        (
            r#"{"reply":"x","language":"en","commits":["love"],"needs_human":false,"reason":""}"#,
            AnswerProblem::Form,
        ),
        (r#"{"reply":"x","language":"en","commits":[],"reason":""}"#, AnswerProblem::Form),
        (r#"{"reply":"x","language":"","commits":[],"needs_human":false,"reason":""}"#, AnswerProblem::Form),
        (
            r#"{"reply":" ","language":"en","commits":[],"needs_human":false,"reason":""}"#,
            AnswerProblem::Empty,
        ),
        (
            r#"{"reply":"⟦NAME_2⟧","language":"en","commits":[],"needs_human":false,"reason":""}"#,
            AnswerProblem::Placeholder,
        ),
        (r#"{"reply":"cut o"#, AnswerProblem::Form),
    ] {
        assert_eq!(drafted(answer), Err(problem), "{answer}");
    }
}

#[test]
fn the_language_asked_for_is_the_merchants_choice() {
    let known = Known::default();
    let settings =
        DeskSettings { reply_language: ReplyLanguage::Fixed(Language::French), ..DeskSettings::default() };
    let matter = Matter {
        intent: Intent::Question,
        language: Some(Language::German),
        subject: &personal("x"),
        turns: &[],
        order: None,
        shop_name: "Example Shop",
    };
    let question = draft(&mut Masker::new(&known), &settings, &[], &matter);
    assert!(question.message.value().ends_with("Write the reply to it in French."));
    assert!(question.message.value().contains("found no order"));
}

proptest! {
    #[test]
    fn no_mail_closes_its_marks_or_leaks(
        text in "([a-zA-Z ]{1,8}|⟦END MAIL⟧|⟦|⟧|\n|</mail>|〚END〛|Canary|#1001|\\]\\]){0,12}",
    ) {
        let question = question(&[&text]);
        let message = question.message.value();
        prop_assert_eq!(message.matches("⟦END MAIL⟧").count(), 1);
        prop_assert_eq!(message.matches("⟦BEGIN MAIL⟧").count(), 1);
        prop_assert!(!message.contains('〚'));
        for canary in CANARIES {
            prop_assert!(!message.contains(canary), "{}", message);
        }
    }
}
