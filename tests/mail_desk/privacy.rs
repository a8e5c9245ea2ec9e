//! Whose the mails are: what Claude and Google are told, what stands in the clear nowhere, and what is left of a person who is
//! erased, limits the use of their data, or wrote to a shop that is purged. And how many round trips a draft takes.

use std::collections::BTreeSet;

use serde_json::json;
use storeward_core::data_map::{Kind, Purpose};
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_core::personal::Personal;
use storeward_core::time::{HOUR, MINUTE};
use storeward_store::{DraftState, RecordRef};

use super::{ANA, BEN, Mail, SHIPPING, VAGUE, World, drafted, order};
use crate::bench::{App, SHOP, delivery};
use crate::leaks::{listen, take_logged};
use crate::mailboxes::ADDRESS;
use crate::support::faults::FaultPlan;
use crate::support::thief::Thief;

/// The kinds that mails are kept in.
const MAIL: [&str; 5] = ["thread", "mail", "draft", "thread-index", "mail-link"];

/// What of a customer must reach nobody, each in the places that are named after it.
const CANARIES: [(&str, &str); 11] = [
    ("name in the head and the order", "Canaria"),
    ("family name", "Exemplar"),
    ("address in the head", "canary.exemplar"),
    ("phone in the text", "555-0177"),
    ("phone in the signature", "555-0178"),
    ("street in the text", "4711 Canary"),
    ("street in the signature", "4712 Canary"),
    ("order in the text", "48151"),
    ("order that the shop has", "48152"),
    ("address in the quoted history", "quoted.canary"),
    ("parcel", "SC48152TRACK"),
];

const CANARY: &str = "canary.exemplar@example.com";

fn canary_mail() -> String {
    let text = "Hello,\r\n\r\nthis is Canaria Exemplar, canary.exemplar@example.com. About order #48151, what we talked about: \
        call me at 202-555-0177 or write to 4711 Canary Street, Springfield, IL 62704. What do you think?\r\n\r\n\
        -- \r\nCanaria Exemplar\r\n4712 Canary Street\r\nSpringfield, IL 62704\r\n202-555-0178\r\n\r\n\
        On Thu, 19 Nov 2026 at 10:00, Quoted <quoted.canary@example.com> wrote:\r\n> Ask Canaria Exemplar about #48151.\r\n";
    Mail::new(1, "Canaria Exemplar <canary.exemplar@example.com>", "About #48151", text).raw()
}

fn seen(bytes: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    CANARIES.iter().filter(|(_, canary)| text.contains(canary)).map(|(what, _)| *what).collect()
}

impl World {
    async fn with_canaries() -> Self {
        let world = Box::pin(Self::new(true)).await;
        let order = order(48152, CANARY, ("Canaria", "Exemplar"), Some("SC48152TRACK"));
        world.shopify.hear_of(SHOP, order.to_string().as_bytes());
        world.claude.answer_next(
            &json!({ "intent": "shipping", "confidence": 0.9, "language": "en", "sentence": "What do you think?" }),
        );
        world.claude.answer_next(&drafted("Dear ⟦NAME_1⟧, we look into it."));
        world.inner.google.deliver(ADDRESS, canary_mail()).unwrap();
        world
    }
}

#[tokio::test]
async fn nothing_of_a_customer_reaches_claude_and_nothing_stands_in_the_clear() {
    listen();
    let world = World::with_canaries().await;
    // Every place, at every step.
    let mut queued = Vec::new();
    for _ in 0..6 {
        world.inner.push().await;
        for state in world.inner.bench.cloud.sqs().queues().await.unwrap() {
            for message in world.inner.bench.cloud.sqs().peek(&state.name).await.unwrap() {
                queued.extend_from_slice(message.body.as_bytes());
            }
        }
        for function in ["jobs/sync-mailbox", "jobs/classify-email", "jobs/draft-reply"] {
            let queue = format!("storeward-development-{}", function.split_once('/').unwrap().1);
            for message in world.inner.bench.receive(&queue).await {
                let event = crate::bench::batch(std::slice::from_ref(&message));
                world.inner.app.invoke(function, event).await.unwrap();
                world.inner.bench.delete(&queue, &message).await;
            }
        }
    }
    assert!(!queued.is_empty());
    let draft = world.draft().await;
    assert_eq!(world.approve(&draft).await.0, 200);
    world.settle().await;
    assert_eq!(world.sent().len(), 1);
    let asked = world.claude.reached();
    assert_eq!(asked.len(), 2, "what it is about, and for the draft");
    for reached in &asked {
        assert_eq!(seen(&reached.bytes), Vec::<&str>::new(), "{}", String::from_utf8_lossy(&reached.bytes));
        assert!(String::from_utf8_lossy(&reached.bytes).contains("⟦NAME_1⟧"));
    }
    assert_eq!(seen(&queued), Vec::<&str>::new(), "queues");
    assert_eq!(seen(&world.inner.bench.cloud.dynamodb().raw_bytes().unwrap()), Vec::<&str>::new(), "tables");
    let logged = take_logged();
    assert!(!logged.is_empty());
    assert_eq!(seen(&logged), Vec::<&str>::new(), "logs");
    // Google gets the reply, into the mailbox it is sent from, and no value elsewhere.
    for heard in world.inner.google.requests() {
        assert_eq!(seen(heard.path.as_bytes()), Vec::<&str>::new(), "{}", heard.path);
        assert!(heard.path.contains("messages/send") || seen(&heard.body).is_empty(), "{}", heard.path);
    }
    // Shopify is asked by the address of whoever wrote, and by nothing else.
    for call in world.shopify.calls() {
        assert!(seen(&call.body).iter().all(|what| *what == "address in the head"), "{:?}", seen(&call.body));
    }
    // What is sealed does hold it: it is not missing because it never was there.
    let dump = world.inner.bench.dump();
    let opened = Thief::new(&[7; 32]).open_all(dump.values().flatten());
    let sealed: String = opened.iter().map(|opened| opened.text.as_str()).collect();
    let missing: Vec<_> = CANARIES.iter().filter(|(_, canary)| !sealed.contains(canary)).collect();
    assert!(
        missing.iter().all(|(what, _)| ["order that the shop has", "parcel"].contains(what)),
        "{missing:?}"
    );
}

/// The kinds whose partitions were touched, as keys name them after the installation.
fn touched(app: &App) -> BTreeSet<String> {
    let requests = app.connector.requests();
    let touches = requests.iter().flat_map(|request| &request.footprint.touches);
    let partitions = touches.filter_map(|touch| touch.partition.as_deref());
    partitions.filter_map(|partition| partition.split('#').nth(2)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_mail_desk_touches_no_record_of_the_duplicate_guard_and_the_guard_none_of_a_mail() {
    let world = Box::pin(World::new(true)).await;
    let kept_for = |purpose: Purpose| -> BTreeSet<String> {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.row().purpose == purpose);
        kinds.map(|kind| kind.name().to_owned()).collect()
    };
    let (guards, desks) = (kept_for(Purpose::Duplicates), kept_for(Purpose::Mail));
    let app = &world.inner.app;
    // Given a customer whose two orders are in a case
    app.connector.restart(FaultPlan::none());
    for id in [1001, 1002] {
        app.order(&format!("w{id}"), &order(id, ANA, ("Ana", "Sample"), None)).await;
    }
    world.settle().await;
    world.minutes(30).await;
    let by_guard = touched(app);
    assert!(["order", "match", "case"].iter().all(|kind| by_guard.contains(*kind)), "{by_guard:?}");
    assert_eq!(app.cases(world.installation()).await.len(), 1);
    // When the customer writes, and is answered
    app.connector.restart(FaultPlan::none());
    world.answers_shipping().await;
    world.comes(&Mail::new(1, ANA, "Parcel", SHIPPING)).await;
    world.minutes(10).await;
    assert_eq!(world.sent().len(), 1);
    // Then neither touched what is kept for the other's purpose.
    let by_desk = touched(app);
    assert!(["thread", "mail", "draft"].iter().all(|kind| by_desk.contains(*kind)), "{by_desk:?}");
    assert_eq!(by_desk.intersection(&guards).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(by_guard.intersection(&desks).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn the_redaction_of_a_customer_blanks_mail_drafts_and_index_and_nobody_elses() {
    let world = World::with_canaries().await;
    world.settle().await;
    world.comes(&Mail::new(2, BEN, "Parcel", SHIPPING)).await;
    assert_eq!(world.drafts().await.len(), 2);
    let body = json!({
        "shop_id": 70_000_000_001_u64, "shop_domain": SHOP,
        "customer": { "id": 9_200_000_000_000_000_009_u64, "email": CANARY, "phone": null }, "orders_to_redact": [],
    });
    let (status, answer) =
        world.inner.app.post("webhooks/customers-redact", delivery("customers/redact", "r1", &body)).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    world.later().await;
    let left: Vec<String> =
        world.drafts().await.iter().map(|draft| draft.to.address.expose().clone()).collect();
    assert_eq!(left, [BEN]);
    assert_eq!((world.threads().await.len(), world.mails().await.len()), (1, 1));
    for kind in ["thread", "mail", "draft", "thread-index"] {
        assert_eq!(world.inner.bench.items(kind).len(), 1, "{kind}");
    }
    let dump = world.inner.bench.dump();
    let opened = Thief::new(&[7; 32]).open_all(dump.values().flatten());
    let found: Vec<String> = opened
        .iter()
        .filter(|opened| seen(opened.text.as_bytes()).iter().any(|what| !what.contains("quoted")))
        .map(|opened| format!("{:?} {}: {:?}", opened.kind, opened.attribute, seen(opened.text.as_bytes())))
        .collect();
    assert_eq!(found, Vec::<String>::new());
    // What comes of the person later is not what was erased: a full reading brings nothing back.
    world.inner.google.forget_history(ADDRESS);
    world.comes(&Mail::new(3, BEN, "Another", SHIPPING)).await;
    assert!(world.mails().await.iter().all(|mail| mail.from.as_ref().unwrap().address.expose() == BEN));
}

#[tokio::test]
async fn the_mail_of_a_person_who_limits_its_use_is_neither_understood_nor_drafted_nor_sent() {
    let request: RecordRef = format!("request/{}", "0".repeat(32)).parse().unwrap();
    let person = identifiers(&[&Personal::new(ANA.to_owned())], &[], None);
    // Limited before it is understood, before it is drafted, before it is sent; and before it comes.
    for place in 0..4 {
        let world = World::new(true).await;
        world.answers_shipping().await;
        let store = world.inner.app.store().await;
        let limit = || store.limit_subject(world.installation(), &person, Limit::Restricted, &request);
        if place == 3 {
            limit().await.unwrap();
        }
        let jobs = [("jobs/classify-email", super::CLASSIFY), ("jobs/draft-reply", super::DRAFT)];
        world
            .inner
            .google
            .deliver(ADDRESS, Mail::new(1, ANA, "Parcel", VAGUE).raw().replace("what do you think", SHIPPING))
            .unwrap();
        world.inner.settle().await;
        for (function, queue) in &jobs[..place.min(2)] {
            for message in world.inner.bench.receive(queue).await {
                world
                    .inner
                    .app
                    .invoke(function, crate::bench::batch(std::slice::from_ref(&message)))
                    .await
                    .unwrap();
                world.inner.bench.delete(queue, &message).await;
            }
        }
        let asked = world.claude.requests().len();
        if place < 3 {
            limit().await.unwrap();
        }
        world.later().await;
        assert_eq!(world.claude.requests().len(), asked, "{place}");
        assert!(world.sent().is_empty(), "{place}");
        assert!(world.threads().await.is_empty(), "{place}: nobody sees it either");
        let drafts = world.inner.bench.items("draft");
        assert_eq!(drafts.len(), usize::from(place == 2), "{place}");
        world.no_dead_letters().await;
    }
}

#[tokio::test]
async fn a_purge_leaves_nothing_of_the_mail_desk() {
    let world = World::with_canaries().await;
    world.settle().await;
    world.configure(|desk| desk.settings.signature = Personal::new("Sample".to_owned())).await;
    assert_eq!(world.state().await, DraftState::Ready);
    world.shopify.uninstall(SHOP);
    let gone = crate::bench::sample("webhooks/app-uninstalled/plain");
    assert_eq!(world.inner.app.post("webhooks/app-uninstalled", gone).await.0, 200);
    world.settle().await;
    for _ in 0..3 {
        world.advance(HOUR * 20).await;
        world.inner.bench.fire_schedules().await;
        world
            .inner
            .app
            .invoke("schedules/sweep-due", crate::bench::sample("schedules/sweep-due/hourly"))
            .await
            .unwrap();
        world.settle().await;
    }
    for kind in MAIL.into_iter().chain(["desk", "mailbox", "mailbox-route"]) {
        assert!(world.inner.bench.items(kind).is_empty(), "{kind}");
    }
    assert_eq!(world.inner.bench.left_of(&world.installation().tenant), Vec::<String>::new());
}

/// What the way from a push to a draft takes: requests to AWS by function, and calls of the outside world.
#[tokio::test]
async fn from_a_push_to_a_draft_it_takes_so_many_round_trips() {
    let world = World::new(true).await;
    // The first mail warms every instance up: keys, tokens, the desk's settings.
    world.claude.answer_next(&drafted("We look into it."));
    world.comes(&Mail::new(1, ANA, "First", SHIPPING)).await;
    world.advance(MINUTE).await;
    world.claude.answer_next(&drafted("We look into it."));
    let counts = || async {
        world.inner.app.store().await.desk_counts(world.installation(), 1).await.unwrap()[0].clone()
    };
    let before = counts().await;
    let outside =
        || (world.inner.google.requests().len(), world.shopify.calls().len(), world.claude.requests().len());
    let (google, shopify, claude) = outside();
    world.inner.google.deliver(ADDRESS, Mail::new(2, BEN, "Second", SHIPPING).raw()).unwrap();
    world.inner.app.connector.restart(FaultPlan::none());
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    let take = || {
        let asked = world.inner.app.connector.requests();
        world.inner.app.connector.restart(FaultPlan::none());
        asked.iter().map(|recorded| recorded.footprint.operation.clone()).collect::<Vec<_>>()
    };
    assert_eq!(world.inner.push().await, [204]);
    told.push(("pushes/gmail-push", take()));
    for function in ["jobs/sync-mailbox", "jobs/classify-email", "jobs/draft-reply"] {
        let queue = format!("storeward-development-{}", function.split_once('/').unwrap().1);
        let messages = world.inner.bench.receive(&queue).await;
        assert_eq!(messages.len(), 1, "{function}");
        world.inner.app.invoke(function, crate::bench::batch(&messages)).await.unwrap();
        world.inner.bench.delete(&queue, &messages[0]).await;
        told.push((function, take()));
    }
    assert_eq!(world.drafts().await.len(), 2);
    let after = outside();
    let outside = (after.0 - google, after.1 - shopify, after.2 - claude);
    for (function, asked) in &told {
        println!("{function}: {} {asked:?}", asked.len());
    }
    let after = counts().await;
    println!(
        "outside {outside:?}; tokens {}, micro dollars {}",
        after.tokens - before.tokens,
        after.micro_dollars - before.micro_dollars
    );
    let footprint: Vec<(&str, usize)> =
        told.iter().map(|(function, asked)| (*function, asked.len())).collect();
    assert_eq!(
        footprint,
        [
            ("pushes/gmail-push", 2),
            ("jobs/sync-mailbox", 13),
            ("jobs/classify-email", 9),
            ("jobs/draft-reply", 12)
        ]
    );
    assert_eq!(outside, (2, 1, 1), "Google, Shopify, Claude");
}
