//! Restriction and objection: what is about a person is not used, nothing new about them is stored, and lifting a
//! restriction makes up for what was missed. Who may ask for it, and how, stands with the rights requests.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use storeward_core::limits::Limit;
use storeward_core::normalize::{Identifier, order_identifiers};
use storeward_core::order::Order;
use storeward_core::time::{Clock as _, DAY, HOUR, MINUTE, Timestamp};
use storeward_store::{Installation, RecordRef, What};

use crate::bench::{App, Bench, delivery, order, sample_body};
use crate::support::faults::{Fault, FaultPlan};

fn request() -> RecordRef {
    "request/0123456789abcdef0123456789abcdef".parse().unwrap()
}

/// Everyone an order names.
fn people(order: &Value) -> Vec<Identifier> {
    order_identifiers(&serde_json::from_value::<Order>(order.clone()).unwrap())
}

async fn limit(app: &App, installation: &Installation, who: &[Identifier], limit: Limit) -> (bool, u64, u64) {
    let store = app.store().await;
    let limiting = store.limit_subject(installation, who, limit, &request()).await.unwrap().unwrap();
    (limiting.new, limiting.orders, limiting.cases)
}

/// Lifts a limit as the job does, without queues.
async fn lift(app: &App, installation: &Installation, who: &[Identifier], limit: Limit) {
    let store = app.store().await;
    store.lift_limit(installation, who, limit, &request()).await.unwrap();
    store.lifting_done(installation, who).await.unwrap();
}

/// Everything stored but what is written for every delivery and the ledger.
fn stored(bench: &Bench) -> Vec<String> {
    let all = bench.dump().into_values().flatten();
    let kept = all.filter(|item| !["delivery", "ledger"].contains(&item["kind"]["S"].as_str().unwrap()));
    let mut lines: Vec<String> = kept.map(|item| item.to_string()).collect();
    lines.sort();
    lines
}

async fn entries(bench: &Bench, app: &App, installation: &Installation, what: What) -> usize {
    let entries = app.store().await.ledger_of(&installation.tenant.shop, bench.clock.now()).await.unwrap();
    entries.iter().filter(|entry| entry.what == what).count()
}

async fn tell(app: &App, topic: &str, id: &str, body: &Value) -> String {
    let function = format!("webhooks/{}", topic.replace('/', "-"));
    let (status, answer) = app.post(&function, delivery(topic, id, body)).await;
    assert_eq!(status, 200, "{answer}");
    let because = answer["because"].as_str().map(|because| format!(" {because}")).unwrap_or_default();
    format!("{}{because}", answer["outcome"].as_str().unwrap())
}

fn told(mut order: Value, minute: u32) -> Value {
    order["updated_at"] = json!(format!("2026-11-20T15:{minute:02}:00Z"));
    order
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_stored_about_who_objected_whatever_tells_of_them() {
    for which in Limit::ALL {
        // Given two orders of a person in a case, and the person's limit.
        let bench = Bench::new().await;
        let app = bench.app();
        let installation = app.install().await;
        bench.two_orders(&app).await;
        let person = people(&order(1, 1));
        assert_eq!(limit(&app, &installation, &person, which).await, (true, 2, 1));
        let before = stored(&bench);
        // When Shopify tells of a new order, of changes of known ones, and of the account.
        let refused = "refused limited";
        let mut account = sample_body("webhooks/customers-update/new-email");
        account["updated_at"] = json!("2026-11-20T15:40:00Z");
        let mut elsewhere = told(order(2, 1), 30);
        for field in ["email", "contact_email", "phone", "customer", "billing_address", "shipping_address"] {
            elsewhere[field] = json!(null);
        }
        elsewhere["email"] = json!("somebody.new@example.com");
        for _ in 0..2 {
            assert_eq!(tell(&app, "orders/create", "n1", &order(3, 2)).await, refused);
            assert_eq!(tell(&app, "orders/updated", "n2", &told(order(4, 2), 20)).await, refused);
            assert_eq!(tell(&app, "orders/cancelled", "n3", &told(order(1, 1), 20)).await, refused);
            assert_eq!(tell(&app, "orders/updated", "n4", &elsewhere).await, refused);
            assert_eq!(tell(&app, "customers/update", "n5", &account).await, refused);
            bench.drain(&app).await;
        }
        // Then nothing stored changed, and each delivery is counted once, without the person.
        assert_eq!(stored(&bench), before);
        assert_eq!(entries(&bench, &app, &installation, What::RefusedLimited).await, 5);
        // A reference is sent beside the write: its job finds nothing to wait for.
        bench.advance(MINUTE * 31).await;
        bench.drain(&app).await;
        assert_eq!(bench.messages().await, 0);
        // Again is nothing, and is not told twice.
        assert_eq!(limit(&app, &installation, &person, which).await, (false, 0, 0));
        assert_eq!(entries(&bench, &app, &installation, What::SubjectLimited).await, 1);
        // Somebody else is served as before.
        let mut other = order(9, 3);
        for field in ["contact_email", "phone", "customer", "billing_address", "shipping_address"] {
            other[field] = json!(null);
        }
        other["email"] = json!("somebody.else@example.com");
        assert_eq!(tell(&app, "orders/create", "n6", &other).await, "accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_restricted_is_out_of_sight_and_comes_back_when_it_is_lifted() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    bench.two_orders(&app).await;
    let (person, store) = (people(&order(1, 1)), app.store().await);
    let before = stored(&bench).len();
    limit(&app, &installation, &person[..1], Limit::Restricted).await;
    // Out of sight for matching, for lists and samples, in its case.
    let sample = || async {
        let all = store.sample(&installation, Timestamp::default(), 100, &|| true).await.unwrap();
        all.orders.len()
    };
    let case = bench_case(&app, &installation).await;
    assert_eq!((case.members.len(), case.restricted(), case.size, sample().await), (0, 2, 2, 0));
    let references: Vec<RecordRef> =
        case.numbers_to_let_go().map(|(reference, _)| reference.clone()).collect();
    assert_eq!(references.len(), 2, "what was held is let go, whatever is limited");
    assert!(store.orders(&installation, &references).await.unwrap().is_empty());
    assert!(!store.take_to_show(&installation, &references[0]).await.unwrap());
    // A second limit keeps it out of sight when the first is lifted.
    limit(&app, &installation, &person, Limit::Objected).await;
    lift(&app, &installation, &person[..1], Limit::Restricted).await;
    assert_eq!((bench_case(&app, &installation).await.members.len(), sample().await), (0, 0));
    let standing = store.limits_of(&installation, &person).await.unwrap();
    assert!(standing.iter().all(|standing| standing.limit == Limit::Objected), "{standing:?}");
    assert_eq!(standing.len(), person.len());
    lift(&app, &installation, &person, Limit::Objected).await;
    let case = bench_case(&app, &installation).await;
    assert_eq!((case.members.len(), case.restricted(), sample().await), (2, 0, 2));
    // Nothing is left of it but the ledger and, for as long as a request from before can be there, when it was lifted.
    let lifted = bench.items("limit");
    assert_eq!((lifted.len(), stored(&bench).len()), (person.len(), before + person.len()));
    assert!(
        lifted.iter().all(|item| item["sealed"].is_null() && !item["expires_at"].is_null()),
        "{lifted:?}"
    );
    assert!(bench.dump().into_values().flatten().all(|item| item["use_limited"].is_null()));
    bench.advance(DAY * 91).await;
    assert_eq!(bench.items("limit").len(), 0);
}

async fn bench_case(app: &App, installation: &Installation) -> storeward_store::Case {
    app.cases(installation).await.pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_objection_outlasts_an_erasure_without_the_person() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.order("w1", &order(1, 1)).await;
    bench.drain(&app).await;
    // Given objections that name the same person in several ways, one after the other.
    let person = people(&order(1, 1));
    assert!(person.len() >= 3, "{person:?}");
    for pair in person.windows(2) {
        limit(&app, &installation, pair, Limit::Objected).await;
    }
    assert!(bench.items("limit").iter().all(|item| !item["sealed"].is_null()));
    // When the person is erased by the last of them alone.
    let mut erase = sample_body("webhooks/customers-redact/email-only");
    let email = person.iter().find(|one| one.kind.name() == "email").unwrap();
    erase["customer"]["email"] = json!(email.value.expose());
    erase["orders_to_redact"] = json!([]);
    tell(&app, "customers/redact", "r", &erase).await;
    bench.drain(&app).await;
    // Then nothing of them is left but keyed hashes, and the next order is not stored either.
    assert_eq!(bench.items("order").len(), 0);
    let limits = bench.items("limit");
    assert_eq!(limits.len(), person.len());
    assert!(limits.iter().all(|item| item["sealed"].is_null()), "{limits:?}");
    let mut next = order(2, 1);
    let later = bench.clock.now() + HOUR;
    next["created_at"] = json!(later.to_rfc3339());
    assert_eq!(tell(&app, "orders/create", "w2", &next).await, "refused limited");
}

/// Everything stored, without what differs from run to run.
fn essence(bench: &Bench) -> Vec<String> {
    let line = |item: Value| {
        let entry = item["entry"]["S"].as_str().map(|entry| serde_json::from_str::<Value>(entry).unwrap());
        let what = entry.map(|entry| format!("{} {}", entry["what"], entry["counts"]));
        let marks = ["use_limited", "objected_by", "restricted_by", "catch_up_from"]
            .map(|name| item.get(name).is_some());
        format!("{} {:?} sealed={} {what:?}", item["kind"]["S"], marks, item.get("sealed").is_some())
    };
    let mut lines: Vec<String> = bench.dump().into_values().flatten().map(line).collect();
    lines.sort();
    lines
}

/// Limits or lifts in a process that ends at a request, and again in another: what is stored in the end.
async fn twice(lifting: bool, fault: Option<(usize, Fault)>) -> (Vec<String>, usize) {
    let bench = Bench::new().await;
    let calm = bench.app();
    let installation = calm.install().await;
    bench.two_orders(&calm).await;
    let person = &people(&order(1, 1))[..2];
    if lifting {
        limit(&calm, &installation, person, Limit::Restricted).await;
    }
    let plan = fault.map_or_else(FaultPlan::none, |(at, fault)| FaultPlan::none().at(at, fault));
    let failing = bench.app_through(bench.transport(), FaultPlan::none());
    failing.store().await;
    failing.connector.restart(plan);
    let work = async |app: &App| {
        if lifting {
            lift(app, &installation, person, Limit::Restricted).await;
        } else {
            limit(app, &installation, person, Limit::Restricted).await;
        }
    };
    let _ended = Box::pin(failing.connector.run(work(&failing))).await;
    let requests = failing.connector.requests().len();
    work(&calm).await;
    (essence(&bench), requests)
}

#[tokio::test(start_paused = true)]
async fn what_was_interrupted_is_completed_by_doing_it_again() {
    for lifting in [false, true] {
        let (undisturbed, requests) = Box::pin(twice(lifting, None)).await;
        assert!(requests > 10, "{requests}");
        for at in 0..requests {
            // What comes before a request came after the one before it.
            let (end, _) = Box::pin(twice(lifting, Some((at, Fault::CrashAfter)))).await;
            assert_eq!(end, undisturbed, "lifting={lifting}: at request {at} of {requests}");
        }
    }
}

/// An order by a few names that several people share.
fn drawn(id: u64, (email, phone, customer): (u8, u8, u8)) -> Value {
    let mut order = order(id, u32::try_from(id).unwrap());
    order["contact_email"] = json!(null);
    order["email"] = json!(format!("drawn{email}@example.com"));
    order["phone"] = json!(null);
    for address in ["billing_address", "shipping_address"] {
        order[address]["phone"] = json!(null);
    }
    let phone = (phone > 0).then(|| format!("+1514555010{phone}"));
    order["customer"] = json!({ "id": 500 + u64::from(customer), "email": null, "phone": phone });
    order
}

#[derive(Clone, Debug)]
enum Step {
    Order((u8, u8, u8)),
    Limit((u8, u8, u8), bool, bool),
    Lift((u8, u8, u8), bool),
    Again(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0u8..2, 0u8..3, 0u8..3);
    prop_oneof![
        4 => who().prop_map(Step::Order),
        2 => (who(), any::<bool>(), any::<bool>()).prop_map(|(who, one, objected)| Step::Limit(who, one, objected)),
        1 => (who(), any::<bool>()).prop_map(|(who, objected)| Step::Lift(who, objected)),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
    ]
}

/// Plays steps, and after each holds what is stored against what limits say.
async fn play(steps: Vec<Step>) {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let store = app.store().await;
    let mut limits: BTreeSet<(Identifier, Limit)> = BTreeSet::new();
    let mut kept: BTreeMap<u64, BTreeSet<Identifier>> = BTreeMap::new();
    let which = |objected| if objected { Limit::Objected } else { Limit::Restricted };
    for (id, step) in (1..).zip(steps) {
        let limited = |who: &BTreeSet<Identifier>, limits: &BTreeSet<(Identifier, Limit)>| {
            limits.iter().any(|(one, _)| who.contains(one))
        };
        match step {
            Step::Order(who) => {
                let body = drawn(id, who);
                let named: BTreeSet<Identifier> = people(&body).into_iter().collect();
                let before = stored(&bench);
                let outcome = tell(&app, "orders/create", &format!("w{id}"), &body).await;
                if limited(&named, &limits) {
                    assert_eq!(outcome, "refused limited");
                    assert_eq!(stored(&bench), before, "nothing is stored");
                } else {
                    assert_eq!(outcome, "accepted");
                    kept.insert(id, named);
                }
            }
            Step::Limit(who, one, objected) => {
                let mut named = people(&drawn(id, who));
                named.truncate(if one { 1 } else { named.len() });
                limit(&app, &installation, &named, which(objected)).await;
                limits.extend(named.into_iter().map(|one| (one, which(objected))));
            }
            Step::Lift(who, objected) => {
                let named = people(&drawn(id, who));
                lift(&app, &installation, &named, which(objected)).await;
                limits.retain(|(one, limit)| !(named.contains(one) && *limit == which(objected)));
            }
            Step::Again(index) if !kept.is_empty() => {
                let id = *index.get(&kept.keys().copied().collect::<Vec<_>>());
                tell(&app, "orders/updated", &format!("again{id}"), &told(drawn(id, (0, 0, 0)), 59)).await;
                // What it names from then on.
                if !limited(&kept[&id], &limits) {
                    let now: BTreeSet<Identifier> = people(&drawn(id, (0, 0, 0))).into_iter().collect();
                    if !limited(&now, &limits) {
                        kept.insert(id, now);
                    }
                }
            }
            Step::Again(_) => {}
        }
        bench.drain(&app).await;
        let frozen: BTreeSet<u64> =
            kept.iter().filter(|(_, who)| limited(who, &limits)).map(|(id, _)| *id).collect();
        let marked = bench.items("order").iter().filter(|item| !item["use_limited"].is_null()).count();
        assert_eq!((bench.items("order").len(), marked), (kept.len(), frozen.len()));
        for case in store.cases(&installation).await.unwrap() {
            let shown: BTreeSet<u64> = case.members.iter().map(|member| *member.id.expose()).collect();
            let all: BTreeSet<u64> = case.numbers_to_let_go().map(|(_, id)| *id.expose()).collect();
            assert!(shown.is_disjoint(&frozen), "{shown:?} of {frozen:?}");
            assert_eq!(all.difference(&frozen).copied().collect::<BTreeSet<_>>(), shown);
        }
        let rows = bench.items("match").iter().filter(|row| !row["use_limited"].is_null()).count();
        assert_eq!(rows == 0, frozen.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_told_what_limits_name_is_neither_stored_nor_used(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(play(steps));
    }
}
