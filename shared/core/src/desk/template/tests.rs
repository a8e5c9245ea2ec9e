use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::desk::context::{OrderState, Tracking};
use crate::desk::mask::Known;
use crate::desk::review::{self, Allowed, Conversation, Verdict};
use crate::desk::settings::ReplyLanguage;

const LANGUAGES: [Language; 7] = [
    Language::English,
    Language::German,
    Language::French,
    Language::Spanish,
    Language::Italian,
    Language::Dutch,
    Language::Portuguese,
];

fn personal(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

fn order() -> OrderContext {
    let parcel = Tracking {
        carrier: Some("DHL".to_owned()),
        number: Some(personal("JJD0099988877")),
        url: Some(personal("https://track.example.com/JJD0099988877")),
    };
    OrderContext {
        name: personal("#1001"),
        state: OrderState::Fulfilled,
        customer_name: Some(personal("Anna Müller")),
        tracking: vec![parcel],
        ..OrderContext::default()
    }
}

fn occasion(intent: Intent, language: Language, order: Option<&OrderContext>) -> Occasion<'_> {
    let shop_name = "Example Shop";
    Occasion { intent, language: Some(language), macro_id: None, order, sender_name: None, shop_name }
}

fn text(id: &str, text: &str) -> Macro {
    Macro {
        id: id.to_owned(),
        name: "A macro".to_owned(),
        intent: Some(Intent::Shipping),
        language: Some(Language::German),
        subject: None,
        text: personal(text),
    }
}

#[test]
fn a_tracked_parcel_is_told_of_in_english() {
    let order = order();
    let draft =
        draft(&occasion(Intent::Shipping, Language::English, Some(&order)), &DeskSettings::default(), &[]);
    let draft = draft.unwrap();
    assert_eq!(
        draft.text.expose(),
        "Hi Anna Müller,\n\nthank you for your message.\nThe state of your order #1001: shipped.\nTracking number: \
         JJD0099988877\nYou can follow the parcel here: https://track.example.com/JJD0099988877\n\nBest wishes\nExample Shop"
    );
    assert_eq!((draft.language, draft.macro_id), (Language::English, None));
}

#[test]
fn every_built_in_text_is_fit_to_be_sent_and_commits_to_nothing() {
    let with_order = order();
    let states = [
        OrderState::Unfulfilled,
        OrderState::PartiallyFulfilled,
        OrderState::Fulfilled,
        OrderState::Cancelled,
    ];
    let mut seen = BTreeSet::new();
    for language in LANGUAGES {
        for intent in [Intent::Question, Intent::Refund, Intent::Shipping] {
            for tone in [Tone::Friendly, Tone::Neutral, Tone::Formal] {
                for state in states {
                    for (tracked, has_order) in [(true, true), (false, true), (false, false)] {
                        let mut order = OrderContext { state, ..with_order.clone() };
                        if !tracked {
                            order.tracking.clear();
                        }
                        let settings = DeskSettings { tone, ..DeskSettings::default() };
                        let order = has_order.then_some(&order);
                        let draft = draft(&occasion(intent, language, order), &settings, &[]).unwrap();
                        let conversation = Conversation {
                            allowed: &Allowed::default(),
                            customer: &Known::default(),
                            masker: None,
                            order,
                            instructions: "",
                            language: Some(draft.language),
                        };
                        let review = review::review(&draft.text, &conversation);
                        assert_eq!(
                            (&review.verdict, review.commits.len()),
                            (&Verdict::Fit, 0),
                            "{}: {review:?}",
                            draft.text.expose()
                        );
                        assert!(draft.text.expose().ends_with("Example Shop"));
                        assert_eq!(draft.language, language);
                        seen.insert(draft.text.into_inner());
                    }
                }
            }
        }
    }
    assert!(seen.len() > 7 * 3 * 5, "texts differ: {}", seen.len());
}

#[test]
fn a_state_that_speaks_of_money_is_not_sent_without_a_person() {
    let order = OrderContext { state: OrderState::Refunded, ..order() };
    for language in LANGUAGES {
        let draft = draft(&occasion(Intent::Shipping, language, Some(&order)), &DeskSettings::default(), &[]);
        assert!(!review::commitments(draft.unwrap().text.expose()).is_empty(), "{language:?}");
    }
}

#[test]
fn the_merchants_macro_comes_first_and_one_that_does_not_fit_is_no_reply() {
    let order = order();
    let macros = [text(
        "way",
        "Hallo {{customer_name}},\nIhr Paket {{tracking_number}} ({{carrier}}): {{order_status}}.",
    )];
    let settings = DeskSettings::default();
    let german = occasion(Intent::Shipping, Language::German, Some(&order));
    let filled = draft(&german, &settings, &macros).unwrap();
    assert_eq!(filled.text.expose(), "Hallo Anna Müller,\nIhr Paket JJD0099988877 (DHL): versandt.");
    assert_eq!(filled.macro_id.as_deref(), Some("way"));
    // Another language, or nothing to fill in: the built-in text.
    let french = occasion(Intent::Shipping, Language::French, Some(&order));
    assert_eq!(draft(&french, &settings, &macros).unwrap().macro_id, None);
    let nothing = occasion(Intent::Shipping, Language::German, None);
    assert_eq!(draft(&nothing, &settings, &macros).unwrap().macro_id, None);
    // Named by a rule, it counts whatever the language.
    let named = Occasion { macro_id: Some("way"), ..french };
    let named = draft(&named, &settings, &macros).unwrap();
    assert_eq!((named.language, named.macro_id.as_deref()), (Language::German, Some("way")));
}

#[test]
fn spam_has_no_text_and_other_languages_have_english() {
    let settings = DeskSettings::default();
    assert_eq!(draft(&occasion(Intent::Spam, Language::English, None), &settings, &[]), None);
    let polish = draft(&occasion(Intent::Question, Language::Polish, None), &settings, &[]).unwrap();
    assert_eq!(polish.language, Language::English);
    let fixed = DeskSettings { reply_language: ReplyLanguage::Fixed(Language::Dutch), ..settings };
    let dutch = draft(&occasion(Intent::Question, Language::English, None), &fixed, &[]).unwrap();
    assert_eq!(dutch.language, Language::Dutch);
}

#[test]
fn the_signature_is_the_shops() {
    let settings =
        DeskSettings { signature: personal("Your team\nExample Shop Ltd"), ..DeskSettings::default() };
    let draft = draft(&occasion(Intent::Question, Language::English, None), &settings, &[]).unwrap();
    assert!(draft.text.expose().ends_with("Best wishes\nYour team\nExample Shop Ltd"));
}

#[test]
fn nobody_is_greeted_by_what_is_no_name() {
    for name in [
        "Visit evil.example now",
        "Win $100",
        "http://evil.example",
        "a@example.com",
        "",
        " ",
        "One Two Three Four Five",
        "Anna\nBcc: x",
        "{{signature}}",
        "\u{3a3}a",
    ] {
        let name = personal(name);
        let mut occasion = occasion(Intent::Question, Language::English, None);
        occasion.sender_name = Some(&name);
        let draft = draft(&occasion, &DeskSettings::default(), &[]).unwrap();
        assert!(draft.text.expose().starts_with("Hello,"), "{}", name.expose());
    }
    for name in ["Anna", "Jean-Luc d'Arc", "Søren Ångström", "田中 太郎"] {
        assert!(is_plain_name(name), "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_somebody_calls_themselves_the_draft_stays_fit(name in "\\PC{0,50}") {
        let name = personal(&name);
        let mut occasion = occasion(Intent::Question, Language::English, None);
        occasion.sender_name = Some(&name);
        let draft = draft(&occasion, &DeskSettings::default(), &[]).unwrap();
        let conversation = Conversation {
            allowed: &Allowed::default(),
            customer: &Known::default(),
            masker: None,
            order: None,
            instructions: "",
            language: Some(draft.language),
        };
        prop_assert_eq!(review::review(&draft.text, &conversation).verdict, Verdict::Fit, "{}", draft.text.expose());
    }
}
