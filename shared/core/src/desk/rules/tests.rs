use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::desk::review::{Commitment, Review, Verdict};

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn rule(id: &str, when: Value, then: Value) -> Rule {
    let rule = json!({"id": id, "name": "A rule", "enabled": true, "when": when, "then": then});
    serde_json::from_value(rule).unwrap()
}

fn text(id: &str, intent: Option<Intent>) -> Macro {
    Macro {
        id: id.to_owned(),
        name: "A macro".to_owned(),
        intent,
        language: None,
        subject: None,
        text: Personal::new("It is on its way.".to_owned()),
    }
}

fn facts(intent: Intent) -> Facts {
    Facts {
        intent,
        confidence: Confidence::of_basis_points(9_000),
        sender: Personal::new("Anna@Mail.Example.com".to_owned()),
        order_state: OrderState::Fulfilled,
        language: Some(Language::German),
        // A Monday.
        received_at: Timestamp::parse_rfc3339("2027-01-11T10:00:00Z").unwrap(),
        subject: Personal::new("Wo bleibt mein Paket?".to_owned()),
        text: Personal::new("Ich warte schon LÄNGER auf das Päckchen.".to_owned()),
        attachments: 0,
        automatic: false,
        returning_customer: true,
    }
}

fn sending() -> DeskSettings {
    DeskSettings { send_by_rule: true, ..DeskSettings::default() }
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.why.iter().map(|why| why.reason).collect()
}

fn plan(rules: &[Rule], facts: &Facts) -> Plan {
    evaluate(rules, &sending(), &[text("way", Some(Intent::Shipping))], facts)
}

#[test]
fn without_rules_everything_but_spam_and_machines_gets_a_draft() {
    for intent in Intent::ALL {
        let plan = plan(&[], &facts(intent));
        assert_eq!((plan.draft, plan.auto_send), (intent != Intent::Spam, None), "{intent:?}");
    }
    let machine = Facts { automatic: true, ..facts(Intent::Question) };
    assert_eq!(reasons(&plan(&[], &machine)), [Reason::Automatic]);
    let off = DeskSettings { draft_replies: false, ..sending() };
    let silent = evaluate(&[], &off, &[], &facts(Intent::Question));
    assert_eq!((silent.draft, reasons(&silent)), (false, vec![Reason::DraftsOff]));
}

#[test]
fn a_shipping_mail_is_answered_by_the_macro_after_the_delay() {
    let rules =
        [rule("ship", json!({"intent": ["shipping"]}), json!([{"do": "auto_send", "after_minutes": 10}]))];
    let plan = plan(&rules, &facts(Intent::Shipping));
    assert_eq!(plan.auto_send, Some(AutoSend { after_minutes: 10, macro_id: "way".to_owned() }));
    assert!(plan.draft && plan.macro_id.as_deref() == Some("way"));
    assert_eq!(plan.rules, ["ship"]);
    let hasty = [rule("ship", json!({}), json!([{"do": "auto_send", "after_minutes": 1}]))];
    let settings = DeskSettings { least_delay_minutes: 30, ..sending() };
    let waits = evaluate(&hasty, &settings, &[text("way", None)], &facts(Intent::Shipping));
    assert_eq!(waits.auto_send.unwrap().after_minutes, 30, "the shop's least delay counts");
}

#[test]
fn safety_turns_sending_into_a_draft_and_says_why() {
    let send = json!([{"do": "auto_send", "after_minutes": 10, "macro": "way"}]);
    let rules = [rule("send", json!({}), send.clone())];
    let macros = [text("way", None)];
    let with = |rules: &[Rule], settings: &DeskSettings, macros: &[Macro], intent| {
        let plan = evaluate(rules, settings, macros, &facts(intent));
        assert_eq!((plan.draft, &plan.auto_send), (true, &None));
        *reasons(&plan).last().unwrap()
    };
    assert_eq!(with(&rules, &DeskSettings::default(), &macros, Intent::Shipping), Reason::SendingOff);
    assert_eq!(with(&rules, &sending(), &macros, Intent::Refund), Reason::NeverAutomatic);
    assert_eq!(with(&rules, &sending(), &macros, Intent::Spam), Reason::NeverAutomatic);
    assert_eq!(with(&rules, &sending(), &[], Intent::Shipping), Reason::NoMacro);
    let calls = [rules[0].clone(), rule("call", json!({}), json!([{"do": "escalate"}]))];
    assert_eq!(with(&calls, &sending(), &macros, Intent::Shipping), Reason::Escalated);
}

#[test]
fn what_a_review_finds_stops_sending() {
    let rules = [rule("ship", json!({}), json!([{"do": "auto_send", "after_minutes": 10}]))];
    let fit = Review { verdict: Verdict::Fit, commits: BTreeSet::new() };
    let planned = plan(&rules, &facts(Intent::Shipping));
    assert_eq!(planned.clone().reviewed(&fit, Some("way")), planned);
    // A macro that could not be filled in was replaced by a text that nobody at the shop wrote.
    let other = planned.clone().reviewed(&fit, None);
    assert_eq!((other.auto_send.is_none(), reasons(&other)), (true, vec![Reason::Matched, Reason::NoMacro]));
    let commits = Review { commits: BTreeSet::from([Commitment::Date]), ..fit };
    let stopped = planned.clone().reviewed(&commits, Some("way"));
    assert_eq!((stopped.draft, stopped.auto_send), (true, None));
    let unfit = Review { verdict: Verdict::NeedsHuman(BTreeSet::new()), commits: BTreeSet::new() };
    let stopped = planned.reviewed(&unfit, Some("way"));
    assert_eq!(reasons(&stopped), [Reason::Matched, Reason::Review]);
    assert_eq!(stopped.auto_send, None);
}

#[test]
fn spam_is_answered_only_where_a_rule_says_so_and_machines_never() {
    let rules =
        [rule("all", json!({}), json!([{"do": "draft", "macro": "way"}, {"do": "label", "label": "seen"}]))];
    assert!(plan(&rules, &facts(Intent::Spam)).draft);
    let machine = plan(&rules, &Facts { automatic: true, ..facts(Intent::Question) });
    assert!(!machine.draft && machine.macro_id.is_none() && machine.labels.contains("seen"));
    let ignored = [rules[0].clone(), rule("no", json!({}), json!([{"do": "ignore"}]))];
    let ignored = plan(&ignored, &facts(Intent::Question));
    assert!(!ignored.draft && ignored.ignore);
}

#[test]
fn a_reply_is_made_of_the_macro_that_a_rule_names_and_of_none_that_is_gone() {
    let macros = [text("other", None), text("way", None), text("third", None)];
    for named in ["way", "third", "gone"] {
        let there = (named != "gone").then_some(named);
        let draft = [rule("b", json!({}), json!([{"do": "draft", "macro": named}]))];
        let send = [rule("b", json!({}), json!([{"do": "auto_send", "after_minutes": 5, "macro": named}]))];
        for (rules, settings, sent) in
            [(&draft, sending(), None), (&send, sending(), there), (&send, DeskSettings::default(), None)]
        {
            let plan = evaluate(rules, &settings, &macros, &facts(Intent::Shipping));
            assert_eq!(plan.macro_id.as_deref(), there, "{rules:?}");
            assert_eq!(plan.auto_send.map(|send| send.macro_id).as_deref(), sent, "{rules:?}");
        }
    }
}

#[test]
fn a_mail_that_two_rules_ignore_is_said_to_be_ignored_by_the_first() {
    let ignore = |id| rule(id, json!({}), json!([{"do": "ignore"}]));
    let plan = plan(&[ignore("a"), ignore("b")], &facts(Intent::Question));
    let said: Vec<(Option<&str>, Reason)> =
        plan.why.iter().map(|why| (why.rule.as_deref(), why.reason)).collect();
    assert_eq!(
        said,
        [(Some("a"), Reason::Matched), (Some("a"), Reason::Ignored), (Some("b"), Reason::Matched)]
    );
}

#[test]
fn each_reason_says_in_words_what_a_merchant_reads() {
    for (reason, words) in [
        (Reason::Matched, "it matched"),
        (Reason::UnknownAction, "it has an action that this version does not know"),
        (Reason::Automatic, "not answered: a machine"),
        (Reason::Spam, "not answered: it is spam"),
        (Reason::Ignored, "not answered: the rule"),
        (Reason::DraftsOff, "not answered: drafts"),
        (Reason::SendingOff, "not sent by itself: sending by rule is switched off"),
        (Reason::NeverAutomatic, "not sent by itself: mails about this"),
        (Reason::NoMacro, "not sent by itself: there is no macro"),
        (Reason::Escalated, "not sent by itself: a person"),
        (Reason::Commits, "not sent by itself: the text commits"),
        (Reason::Review, "not sent by itself: the text did not pass"),
    ] {
        assert!(reason.words().starts_with(words), "{reason:?}");
    }
}

#[test]
fn the_first_rule_decides_labels_add_up_and_a_stop_ends_it() {
    let one = |id, actor, minutes: u32| {
        let then = json!([
            {"do": "assign", "actor": actor}, {"do": "label", "label": id},
            {"do": "auto_send", "after_minutes": minutes},
        ]);
        rule(id, json!({}), then)
    };
    let mut rules = [one("a", "first", 20), one("b", "second", 40), one("c", "third", 60)];
    rules[1].stop = true;
    let done = plan(&rules, &facts(Intent::Shipping));
    assert_eq!(done.rules, ["a", "b"]);
    assert_eq!(done.labels, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(done.assign, Some(Personal::new("first".to_owned())));
    assert_eq!(done.auto_send.unwrap().after_minutes, 20);
    rules[0].enabled = false;
    assert_eq!(plan(&rules, &facts(Intent::Shipping)).rules, ["b"]);
}

#[test]
fn each_condition_holds_or_not() {
    let mut settings = sending();
    let open = serde_json::from_value(json!({"from": "09:00", "to": "17:00"})).unwrap();
    settings.business_hours.monday = Some(open);
    for (when, expected) in [
        (json!({}), true),
        (json!({"intent": ["refund", "shipping"]}), true),
        (json!({"intent": ["refund"]}), false),
        (json!({"min_confidence": 9000, "max_confidence": 9000}), true),
        (json!({"min_confidence": 9001}), false),
        (json!({"max_confidence": 8999}), false),
        (json!({"sender": ["anna@mail.example.com"]}), true),
        (json!({"sender": ["mail.example.com"]}), true),
        (json!({"sender": ["example.com"]}), false),
        (json!({"sender": ["*.example.com"]}), true),
        (json!({"sender": ["*.mail.example.com"]}), true),
        (json!({"sender": ["*.ample.com"]}), false),
        (json!({"order_state": ["fulfilled"]}), true),
        (json!({"order_state": ["none", "cancelled"]}), false),
        (json!({"language": ["de"]}), true),
        (json!({"language": ["fr"]}), false),
        (json!({"hours": "inside"}), true),
        (json!({"hours": "outside"}), false),
        (json!({"weekday": ["monday"]}), true),
        (json!({"weekday": ["sunday"]}), false),
        (json!({"attachments": false}), true),
        (json!({"attachments": true}), false),
        (json!({"returning_customer": true}), true),
        (json!({"returning_customer": false}), false),
        (json!({"subject_contains": ["nichts", "mein paket"]}), true),
        (json!({"subject_contains": ["pak"]}), false),
        (json!({"text_contains": ["langer"]}), true),
        (json!({"text_contains": ["paket"]}), false),
        (json!({"intent": ["shipping"], "attachments": true}), false),
        (json!({"moon": "full"}), false),
        (json!({"order_state": ["returned"]}), false),
        (json!({"intent": "shipping"}), false),
    ] {
        let conditions: Conditions = serde_json::from_value(when.clone()).unwrap();
        assert_eq!(conditions.hold(&facts(Intent::Shipping), &settings), expected, "{when}");
        assert_eq!(serde_json::to_value(&conditions).unwrap(), when, "it is stored as it was written");
    }
    let wordless = Facts { language: None, ..facts(Intent::Shipping) };
    let german: Conditions = serde_json::from_value(json!({"language": ["de"]})).unwrap();
    assert!(!german.hold(&wordless, &settings));
}

#[test]
fn a_mail_has_attachments_or_none_however_many() {
    for (attachments, some) in [(0, false), (1, true), (7, true)] {
        let facts = Facts { attachments, ..facts(Intent::Shipping) };
        for wanted in [true, false] {
            let when: Conditions = serde_json::from_value(json!({"attachments": wanted})).unwrap();
            assert_eq!(when.hold(&facts, &sending()), wanted == some, "{attachments} attachments");
        }
    }
}

#[test]
fn a_sender_is_an_address_a_domain_or_all_below_one() {
    let [anna, below, other] = ["Anna@example.com", "anna@mail.example.com", "anna@notexample.com"];
    for (pattern, who) in [
        ("anna@example.com", &[anna][..]),
        ("bert@example.com", &[]),
        ("Example.COM", &[anna]),
        ("*.example.com", &[anna, below]),
        ("*.EXAMPLE.com", &[anna, below]),
        ("*.mail.example.com", &[below]),
        ("notexample.com", &[other]),
    ] {
        let when = json!({"sender": [pattern]});
        assert_eq!(check(&[rule("b", when.clone(), json!([{"do": "draft"}]))], &[]), Ok(()), "{pattern}");
        let when: Conditions = serde_json::from_value(when).unwrap();
        for sender in [anna, below, other, "anna", "example.com", ""] {
            let facts = Facts { sender: Personal::new(sender.to_owned()), ..facts(Intent::Shipping) };
            assert_eq!(when.hold(&facts, &sending()), who.contains(&sender), "{pattern} {sender}");
        }
    }
    let long = format!("{}.example.com", "x".repeat(LONGEST_WORD));
    let odd =
        ["", " ", "example", "*.com", "*.", "*example.com", ".example.com", "example.com.", "example..com"];
    let odder = ["exa mple.com", "shop_1.example.com", "@example.com", "anna@", "an na@example.com", &long];
    for pattern in odd.into_iter().chain(odder) {
        let rules = [rule("b", json!({"sender": [pattern]}), json!([{"do": "draft"}]))];
        assert_eq!(check(&rules, &[]), Err(RuleProblem::Sender(0)), "{pattern}");
    }
    for pattern in ["shop-1.example.com", "bücher.example", "*.shop.example.com"] {
        let rules = [rule("b", json!({"sender": [pattern]}), json!([{"do": "draft"}]))];
        assert_eq!(check(&rules, &[]), Ok(()), "{pattern}");
    }
}

#[test]
fn a_word_has_something_to_read_and_nothing_to_steer_by() {
    for word in ["", " \t", "a\u{7}b", "line\nbreak", &"x".repeat(LONGEST_WORD + 1)] {
        let draft = json!([{"do": "draft"}]);
        for (when, then, problem) in [
            (json!({"subject_contains": ["fine", word]}), draft.clone(), RuleProblem::Words(0)),
            (json!({"text_contains": ["fine", word]}), draft, RuleProblem::Words(0)),
            (json!({}), json!([{"do": "label", "label": word}]), RuleProblem::Label(0)),
            (json!({}), json!([{"do": "assign", "actor": word}]), RuleProblem::Label(0)),
        ] {
            assert_eq!(check(&[rule("b", when, then)], &[]), Err(problem), "{word:?}");
        }
    }
    // However it came to be stored, what cannot be read is in no mail.
    let marks: Conditions = serde_json::from_value(json!({"text_contains": ["…"]})).unwrap();
    let mut facts = facts(Intent::Shipping);
    assert!(!marks.hold(&facts, &sending()));
    facts.text = Personal::new(String::new());
    assert!(!marks.hold(&facts, &sending()));
}

#[test]
fn an_action_of_another_version_is_kept_and_does_nothing() {
    let stored = json!([
        {"do": "open_return", "days": 30}, {"do": "draft"}, {"do": "label"}, {"do": "escalate"}, 5,
        {"do": "auto_send", "after_minutes": 5, "macro": "way"}, {"do": "assign", "actor": "a"}, {"do": "ignore"},
    ]);
    let rule = rule("new", json!({}), stored.clone());
    assert_eq!(serde_json::to_value(&rule.then).unwrap(), stored);
    assert_eq!(rule.then.iter().filter(|action| matches!(action, Action::Unknown(_))).count(), 3);
    let plan = plan(&[rule], &facts(Intent::Question));
    assert!(plan.escalate && plan.ignore);
    assert_eq!(reasons(&plan).iter().filter(|reason| **reason == Reason::UnknownAction).count(), 3);
}

#[test]
fn rules_that_cannot_be_saved_are_refused_by_their_place() {
    let draft = json!([{"do": "draft"}]);
    let fine = rule("fine", json!({}), draft.clone());
    let label = "x".repeat(LONGEST_WORD + 1);
    for (second, expected) in [
        (rule("b", json!({"sender": ["*.example.com"]}), draft.clone()), Ok(())),
        (fine.clone(), Err(RuleProblem::TakenId(1))),
        (rule("No", json!({}), draft.clone()), Err(RuleProblem::Id(1))),
        (Rule { name: String::new(), ..rule("b", json!({}), draft.clone()) }, Err(RuleProblem::Name(1))),
        (rule("b", json!({"moon": 1}), draft.clone()), Err(RuleProblem::Condition(1))),
        (rule("b", json!({"weekday": ["funday"]}), draft.clone()), Err(RuleProblem::Condition(1))),
        (rule("b", json!("always"), draft.clone()), Err(RuleProblem::Condition(1))),
        (
            rule("b", json!({"min_confidence": 2, "max_confidence": 1}), draft.clone()),
            Err(RuleProblem::Confidence(1)),
        ),
        (rule("b", json!({"sender": ["example"]}), draft.clone()), Err(RuleProblem::Sender(1))),
        (rule("b", json!({"sender": ["*@example.com "]}), draft.clone()), Ok(())),
        (rule("b", json!({"text_contains": ["…"]}), draft.clone()), Err(RuleProblem::Words(1))),
        (rule("b", json!({"subject_contains": vec!["a"; 51]}), draft.clone()), Err(RuleProblem::Words(1))),
        (rule("b", json!({}), json!([])), Err(RuleProblem::Actions(1))),
        (rule("b", json!({}), json!(vec![json!({"do": "draft"}); 21])), Err(RuleProblem::Actions(1))),
        (rule("b", json!({}), json!([{"do": "dance"}])), Err(RuleProblem::Action(1))),
        (rule("b", json!({}), json!([{"do": "auto_send", "after_minutes": 0}])), Err(RuleProblem::Delay(1))),
        (
            rule("b", json!({}), json!([{"do": "auto_send", "after_minutes": 10_081}])),
            Err(RuleProblem::Delay(1)),
        ),
        (rule("b", json!({}), json!([{"do": "draft", "macro": "gone"}])), Err(RuleProblem::Macro(1))),
        (rule("b", json!({}), json!([{"do": "label", "label": label}])), Err(RuleProblem::Label(1))),
        (rule("b", json!({}), json!([{"do": "assign", "actor": " "}])), Err(RuleProblem::Label(1))),
    ] {
        assert_eq!(check(&[fine.clone(), second.clone()], &[]), expected, "{second:?}");
    }
    let many: Vec<Rule> = (0..=MOST_RULES).map(|n| rule(&n.to_string(), json!({}), draft.clone())).collect();
    assert_eq!(check(&many, &[]), Err(RuleProblem::TooMany));
}

#[test]
fn given_rules_at_their_bounds_then_they_can_be_saved() {
    let draft = json!([{"do": "draft"}]);
    let one = |when: Value, then: Value| vec![rule("b", when, then)];
    let called = |name: String| vec![Rule { name, ..rule("b", json!({}), draft.clone()) }];
    let longest = "x".repeat(LONGEST_WORD);
    for (rules, problem) in [
        ((0..MOST_RULES).map(|n| rule(&n.to_string(), json!({}), draft.clone())).collect(), None),
        (called("x".repeat(LONGEST_NAME)), None),
        (called("x".repeat(LONGEST_NAME + 1)), Some(RuleProblem::Name(0))),
        (one(json!({"min_confidence": 5, "max_confidence": 5}), draft.clone()), None),
        (one(json!({"sender": vec!["example.com"; MOST_WORDS]}), draft.clone()), None),
        (
            one(json!({"sender": vec!["example.com"; MOST_WORDS + 1]}), draft.clone()),
            Some(RuleProblem::Sender(0)),
        ),
        (one(json!({"text_contains": vec![longest.clone(); MOST_WORDS]}), draft.clone()), None),
        (one(json!({}), json!(vec![json!({"do": "draft"}); MOST_ACTIONS])), None),
        (one(json!({}), json!([{"do": "auto_send", "after_minutes": DELAY_MINUTES.start()}])), None),
        (one(json!({}), json!([{"do": "auto_send", "after_minutes": DELAY_MINUTES.end()}])), None),
        (
            one(json!({}), json!([{"do": "label", "label": longest}, {"do": "assign", "actor": longest}])),
            None,
        ),
    ] {
        assert_eq!(check(&rules, &[]).err(), problem, "{rules:?}");
    }
}

#[test]
fn given_a_rule_that_names_a_macro_then_it_can_be_saved_only_beside_it() {
    for action in [
        json!({"do": "draft", "macro": "way"}),
        json!({"do": "auto_send", "after_minutes": 5, "macro": "way"}),
    ] {
        let rules = [rule("b", json!({}), json!([action]))];
        for (macros, expected) in [
            (vec![], Err(RuleProblem::Macro(0))),
            (vec![text("other", None)], Err(RuleProblem::Macro(0))),
            (vec![text("way", None)], Ok(())),
            (vec![text("other", None), text("way", None)], Ok(())),
        ] {
            assert_eq!(check(&rules, &macros), expected, "{rules:?} beside {macros:?}");
        }
    }
}

#[test]
fn what_cannot_be_saved_is_said_with_its_place_its_field_and_what_to_write() {
    for (problem, words) in [
        (RuleProblem::TooMany, "rules: keep at most 100"),
        (RuleProblem::Id(3), "rules[3].id: write 1 to 40 small letters"),
        (RuleProblem::TakenId(3), "rules[3].id: another rule has it"),
        (RuleProblem::Name(3), "rules[3].name: write 1 to 120 characters"),
        (RuleProblem::Condition(3), "rules[3].when: a condition is not known"),
        (RuleProblem::Confidence(3), "rules[3].when: let max_confidence"),
        (RuleProblem::Sender(3), "rules[3].when.sender: give up to 50 addresses"),
        (RuleProblem::Words(3), "rules[3].when: give up to 50 words of 1 to 200"),
        (RuleProblem::Actions(3), "rules[3].then: give 1 to 20 actions"),
        (RuleProblem::Action(3), "rules[3].then: an action is not known"),
        (RuleProblem::Delay(3), "rules[3].then: let after_minutes be 1 to 10080"),
        (RuleProblem::Macro(3), "rules[3].then: there is no macro with this id"),
        (RuleProblem::Label(3), "rules[3].then: a label or an actor has 1 to 200"),
    ] {
        assert!(problem.to_string().starts_with(words), "{problem}");
    }
}

#[test]
fn only_a_rule_that_counts_and_asks_how_orders_are_has_them_asked_for() {
    let draft = json!([{"do": "draft"}]);
    for (when, expected) in [
        (json!({}), false),
        (json!({"intent": ["shipping"], "attachments": true}), false),
        (json!({"order_state": ["fulfilled"]}), true),
        (json!({"returning_customer": false}), true),
        (json!({"order_state": ["none"], "returning_customer": true}), true),
    ] {
        let asks = rule("asks", when.clone(), draft.clone());
        assert_eq!(asks.asks_for_orders(), expected, "{when}");
        assert!(!Rule { enabled: false, ..asks }.asks_for_orders(), "{when}, switched off");
    }
}

#[test]
fn a_rule_sends_when_one_of_its_actions_does() {
    for (then, expected) in [
        (json!([{"do": "draft"}, {"do": "label", "label": "seen"}]), false),
        (json!([{"do": "auto_send", "after_minutes": 5}]), true),
        (json!([{"do": "escalate"}, {"do": "auto_send", "after_minutes": 5, "macro": "way"}]), true),
        (json!([{"do": "auto_send"}]), false),
    ] {
        assert_eq!(rule("b", json!({}), then.clone()).sends(), expected, "{then}");
    }
}

#[test]
fn a_dry_run_says_for_each_mail_what_would_have_been_done() {
    let rules =
        [rule("ship", json!({"intent": ["shipping"]}), json!([{"do": "auto_send", "after_minutes": 10}]))];
    let samples = [facts(Intent::Shipping), facts(Intent::Refund)];
    let outcomes = dry_run(&rules, &sending(), &[text("way", None)], &samples);
    let sent: Vec<bool> = outcomes.iter().map(|outcome| outcome.plan.auto_send.is_some()).collect();
    assert_eq!(sent, [true, false]);
    let shown = serde_json::to_value(&outcomes).unwrap().to_string();
    assert!(!shown.contains("nna@"), "an outcome has nothing of whoever wrote: {shown}");
}

proptest! {
    #[test]
    fn whatever_rules_say_no_machine_no_never_automatic_intent_and_no_ignored_mail_is_answered(
        actions in proptest::collection::vec((0usize..6, 1u32..20_000, any::<bool>()), 1..8),
        intent in 0usize..4, automatic in any::<bool>(), on in any::<bool>(),
    ) {
        let rules: Vec<Rule> = actions.iter().enumerate().map(|(place, (kind, minutes, stop))| {
            let then = match kind {
                0 => json!([{"do": "auto_send", "after_minutes": minutes}]),
                1 => json!([{"do": "draft"}]),
                2 => json!([{"do": "escalate"}]),
                3 => json!([{"do": "ignore"}]),
                4 => json!([{"do": "later"}]),
                _ => json!([{"do": "auto_send", "after_minutes": minutes, "macro": "way"}]),
            };
            Rule { stop: *stop, ..rule(&place.to_string(), json!({}), then) }
        }).collect();
        let facts = Facts { automatic, ..facts(Intent::ALL[intent]) };
        let settings = DeskSettings { send_by_rule: on, ..DeskSettings::default() };
        let plan = evaluate(&rules, &settings, &[text("way", None)], &facts);
        prop_assert_eq!(&plan, &evaluate(&rules, &settings, &[text("way", None)], &facts));
        if let Some(send) = &plan.auto_send {
            prop_assert!(on && !automatic && !plan.ignore && !plan.escalate && plan.draft);
            prop_assert!(![Intent::Refund, Intent::Spam].contains(&facts.intent));
            prop_assert!(DELAY_MINUTES.contains(&send.after_minutes));
            prop_assert!(send.after_minutes >= settings.least_delay_minutes);
        }
        prop_assert!(!(plan.draft && (automatic || plan.ignore)));
        prop_assert!(plan.auto_send.is_none() || plan.macro_id.is_some());
    }
}
