use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use storeward_core::desk::macros::Variable;
use storeward_core::desk::rules::{self, Reason};

use super::*;

/// The members that a schema names, in the document's own way of writing.
fn members<T: JsonSchema>() -> BTreeSet<String> {
    let schema = json!(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>());
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    properties.into_iter().map(|(name, _)| name).collect()
}

fn written(value: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(value).unwrap();
    value.as_object().unwrap().keys().cloned().collect()
}

fn every_condition() -> Value {
    json!({
        "intent": ["shipping"], "min_confidence": 1, "max_confidence": 9_000, "sender": ["*.example.com"],
        "order_state": ["none"], "language": ["de"], "hours": "outside", "weekday": ["sunday"],
        "attachments": true, "returning_customer": false, "subject_contains": ["parcel"], "text_contains": ["late"],
    })
}

#[test]
fn settings_are_the_domains_and_a_typing_error_is_refused() {
    let stored = serde_json::to_value(DeskSettings::default()).unwrap();
    assert_eq!(serde_json::to_value(DeskSettingsBody::default()).unwrap(), stored);
    let body: DeskSettingsBody = serde_json::from_value(json!({ "first_sync_days": 3 })).unwrap();
    assert_eq!(DeskSettings::from(body).first_sync_days, 3);
    for wrong in [
        json!({ "read_mails": true }),
        json!({ "policies": { "refunds": "" } }),
        json!({ "business_hours": { "monday": { "from": "9:00", "to": "17:00" } } }),
        json!({ "reply_language": { "policy": "fixed", "language": "xx" } }),
        json!({ "never_automatic": ["canary"] }),
        json!({ "threshold": -1 }),
    ] {
        assert!(serde_json::from_value::<DeskSettingsBody>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn the_document_names_the_members_that_the_domain_reads_and_writes() {
    let hours = json!({ "from": "09:00", "to": "24:00" });
    let settings = DeskSettings::default();
    assert_eq!(members::<DeskSettingsBody>(), written(&settings));
    assert_eq!(members::<shapes::Policies>(), written(&settings.policies));
    assert_eq!(members::<shapes::BusinessHours>(), written(&settings.business_hours));
    assert_eq!(members::<shapes::Open>(), written(&hours));
    let when: Conditions = serde_json::from_value(every_condition()).unwrap();
    assert!(when.unknown.is_empty(), "{:?}", when.unknown.keys());
    assert_eq!(members::<shapes::Conditions>(), written(&when));
    let text = json!({
        "id": "a", "name": "A", "intent": "refund", "language": "en", "subject": "S", "text": "T",
    });
    let text: Macro = serde_json::from_value(text).unwrap();
    assert_eq!(members::<shapes::Macro>(), written(&text));
    let plan = Plan {
        macro_id: Some("a".to_owned()),
        auto_send: Some(rules::AutoSend { after_minutes: 5, macro_id: "a".to_owned() }),
        assign: Some(Personal::new("somebody".to_owned())),
        why: vec![rules::Why { rule: Some("r".to_owned()), reason: Reason::Matched }],
        ..Plan::default()
    };
    assert_eq!(members::<shapes::Plan>(), written(&plan));
    assert_eq!(members::<shapes::AutoSend>(), written(plan.auto_send.as_ref().unwrap()));
    assert_eq!(members::<shapes::Why>(), written(&plan.why[0]));
}

#[test]
fn every_action_of_the_document_is_one_of_the_domains() {
    let schema =
        json!(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<shapes::Action>());
    let described: BTreeSet<(String, BTreeSet<String>)> = schema["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let properties = one["properties"].as_object().unwrap();
            let named = properties["do"]["const"].as_str().unwrap().to_owned();
            (named, properties.keys().cloned().collect())
        })
        .collect();
    let known = [
        Action::Draft { macro_id: Some("a".to_owned()) },
        Action::AutoSend { after_minutes: 5, macro_id: Some("a".to_owned()) },
        Action::Label { label: "a".to_owned() },
        Action::Assign { actor: Personal::new("a".to_owned()) },
        Action::Escalate,
        Action::Ignore,
    ];
    let known = known.map(|action| {
        let value = serde_json::to_value(&action).unwrap();
        (value["do"].as_str().unwrap().to_owned(), written(&action))
    });
    assert_eq!(described, BTreeSet::from(known));
}

#[test]
fn every_reason_of_a_plan_is_in_the_document() {
    // A reason that is added does not compile here before it stands in the list.
    let place = |reason: &Reason| match reason {
        Reason::Matched => 0,
        Reason::UnknownAction => 1,
        Reason::Automatic => 2,
        Reason::Spam => 3,
        Reason::Ignored => 4,
        Reason::DraftsOff => 5,
        Reason::SendingOff => 6,
        Reason::NeverAutomatic => 7,
        Reason::NoMacro => 8,
        Reason::Escalated => 9,
        Reason::Commits => 10,
        Reason::Review => 11,
    };
    assert_eq!(shapes::REASONS.iter().map(place).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_macros_schema_names_every_placeholder() {
    let schema =
        json!(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<shapes::Macro>());
    let about = schema["properties"]["text"]["description"].as_str().unwrap();
    for variable in Variable::ALL {
        assert!(about.contains(&format!("{{{{{}}}}}", variable.name())), "{about}");
    }
}

#[test]
fn rules_are_the_domains_and_a_typing_error_is_refused() {
    let rule = json!({
        "id": "parcels", "name": "Parcels", "enabled": true, "when": every_condition(),
        "then": [{ "do": "auto_send", "after_minutes": 30, "macro": "where" }], "stop": true,
    });
    let body: RuleBody = serde_json::from_value(rule.clone()).unwrap();
    assert_eq!(serde_json::to_value(&body).unwrap(), rule);
    let stored = Rule::from(body.clone());
    assert_eq!((serde_json::to_value(&stored).unwrap(), RuleBody::from(stored)), (rule.clone(), body));
    let mut odd = rule;
    odd["stopp"] = json!(true);
    assert!(serde_json::from_value::<RuleBody>(odd).is_err());
}

#[test]
fn what_the_cascade_saved_is_told_by_what_claude_cost_for_a_mail() {
    let month = |built_in, claude, understanding_micro_dollars| {
        let month = DeskMonth {
            month: "2026-11".to_owned(),
            built_in,
            claude,
            tokens: 1,
            micro_dollars: 1_000_000,
            understanding_micro_dollars,
        };
        DeskMonthBody::from(month).saved_micro_dollars
    };
    assert_eq!(month(9, 3, 600), Some(1_800), "what drafts cost does not count");
    assert_eq!(month(9, 0, 0), None);
    assert_eq!(month(0, 3, 600), Some(0));
    assert_eq!(month(u64::MAX, 1, u64::MAX), Some(u64::MAX));
}
