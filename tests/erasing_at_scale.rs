//! Erasing what is large: a shop with very many records, a person with thousands of orders. What it takes is computed
//! under DynamoDB's limits for each partition, in virtual time (`support::capacity`). The sizes here are CI's; real ones by
//! `STOREWARD_ORDERS=10000 cargo test --release --test storeward what_an_erasure_takes -- --nocapture`, and
//! `STOREWARD_ORDERS=20000 cargo test --release --test storeward what_a_purge_takes -- --nocapture`.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::guard::Decision;
use storeward_core::order::Order;
use storeward_core::time::{Clock as _, HOUR};
use storeward_core::webhook::CustomersRedact;
use storeward_store::{
    CaseState, Deciding, Deleting, Delivery, Entry, Installation, Outcome, PurgeReport, SecondPass, Store,
    What, Work,
};
use tokio::time::Instant;

use crate::bench::{App, Bench, order, sample, sample_body};
use crate::restoring::{TABLES, restore, snapshot};
use crate::support::capacity::{Capacity, Used};
use crate::support::connector;
use crate::support::faults::{Fault, FaultPlan};

/// How many orders the larger of two shops, or persons, has; the other has half of them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings; how large a shop to erase is the caller's choice"
)]
fn orders(usually: u64) -> u64 {
    std::env::var("STOREWARD_ORDERS").map_or(usually, |orders| orders.parse().expect("a number of orders"))
}

/// Letters that differ from the first on: what people are found by is how names and cities begin, and rows of those who
/// begin alike are in one partition.
fn letters(of: u64) -> String {
    let mut left = of.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let letters = (0..6).map(|_| {
        let letter = b"abcdefghijklmnopqrstuvwxyz"[usize::try_from(left % 26).unwrap()];
        left /= 26;
        char::from(letter)
    });
    letters.collect()
}

/// An order of somebody of their own.
fn of_stranger(id: u64) -> Value {
    let mut order = order(id, 1);
    let email = format!("sample.{id}@example.com");
    for field in ["email", "contact_email"] {
        order[field] = json!(email);
    }
    order["phone"] = json!(format!("+1202{:07}", 2_000_000 + id));
    order["customer"] = json!({ "id": 5_000_000 + id, "email": email, "phone": null });
    for address in ["billing_address", "shipping_address"] {
        order[address]["phone"] = json!(null);
        order[address]["first_name"] = json!(letters(3 * id));
        order[address]["last_name"] = json!(letters(3 * id + 1));
        order[address]["city"] = json!(letters(3 * (id % 300) + 2));
        order[address]["address1"] = json!(format!("{id} Sample Street"));
        order[address]["zip"] = json!(format!("{:05}", id % 100_000));
    }
    order
}

/// Takes orders in as webhooks do, without the queue.
async fn take_in(store: &Store, installation: &Installation, bodies: impl Iterator<Item = Value>) {
    for (index, body) in bodies.enumerate() {
        let order: Order = serde_json::from_value(body).unwrap();
        let delivery = Delivery { webhook_id: format!("seed-{index}"), topic: "orders/create".to_owned() };
        let acceptance = store.accept_order(installation, &delivery, order).unwrap();
        let work = acceptance.work().clone();
        assert_eq!(store.commit(acceptance).await.unwrap(), Outcome::Accepted);
        store.complete(&work).await.unwrap();
    }
}

/// What a job took.
#[derive(Debug)]
struct Took {
    records: u64,
    used: Used,
    virtually: Duration,
    really: Duration,
}

impl Took {
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    fn each(&self, of: f64) -> f64 {
        of / self.records as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    fn requests_each(&self) -> f64 {
        self.each(self.used.all() as f64)
    }

    fn seconds_each(&self) -> f64 {
        self.each(self.virtually.as_secs_f64())
    }

    #[expect(clippy::print_stdout, reason = "the figures of a run with --nocapture")]
    fn print(&self, what: &str) {
        println!(
            "{what}: {} records in {:.1} virtual s ({:.2} ms each), {:.3} requests and {:.1} write units each, {} refused; \
             in process {:.0} records/s; {:?}",
            self.records,
            self.virtually.as_secs_f64(),
            self.seconds_each() * 1000.0,
            self.requests_each(),
            self.each(self.used.written),
            self.used.refused,
            1.0 / self.each(self.really.as_secs_f64()),
            self.used.requests,
        );
    }
}

/// The receipts of a shop in the ledger.
async fn receipts(bench: &Bench, app: &App, installation: &Installation, what: What) -> Vec<Entry> {
    let (store, mut all) = (app.store().await, Vec::new());
    for days in 0..3 {
        let day = bench.clock.now() - HOUR * 24 * days;
        all.extend(store.ledger_of(&installation.tenant.shop, day).await.unwrap());
    }
    all.retain(|entry| entry.what == what);
    all
}

#[expect(
    clippy::disallowed_methods,
    reason = "what a run takes in this process is printed and decides nothing"
)]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

/// Purges a shop of so many orders, under the limits.
async fn purge(orders: u64) -> Took {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    take_in(app.store().await, &installation, (1..=orders).map(of_stranger)).await;
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    bench.advance(HOUR * 36).await;
    let capacity = Capacity::of(bench.cloud.dynamodb());
    let limited = bench.app_through(capacity.limit(bench.transport()), FaultPlan::none());
    let store = limited.store().await;
    let _setting_up = capacity.take();
    let (virtually, really) = (Instant::now(), stopwatch());
    let report = store.purge(&installation.tenant, "test", &|| true).await.unwrap();
    let took = Took {
        records: orders,
        used: capacity.take(),
        virtually: virtually.elapsed(),
        really: really.elapsed(),
    };
    assert_eq!(report, PurgeReport::NothingLeft);
    assert_eq!(bench.left_of(&installation.tenant), Vec::<String>::new());
    let receipts = receipts(&bench, &app, &installation, What::ShopPurged).await;
    assert_eq!(receipts.iter().map(|entry| entry.counts["order"]).collect::<Vec<_>>(), [orders]);
    receipts[0].receipt.as_ref().unwrap().verify().unwrap();
    took
}

#[tokio::test(start_paused = true)]
async fn what_a_purge_takes_for_a_record_is_the_same_in_a_shop_of_any_size() {
    let empty = purge_of_nothing().await;
    let orders = orders(80);
    let (half, whole) = (purge(orders / 2).await, purge(orders).await);
    whole.print("purge");
    // An empty shop is looked into once: fewer requests than it has partitions twice.
    assert!(empty < 410, "{empty} requests");
    // What is left when the fixed part is taken off: index rows and records go 25 at a time.
    let more = whole.used.all() - half.used.all();
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let each = more as f64 / (orders / 2) as f64;
    assert!(each < 1.2, "{each} requests for one more record");
}

async fn purge_of_nothing() -> usize {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    bench.advance(HOUR * 36).await;
    let store = app.store().await;
    let before = app.connector.requests().len();
    let report = store.purge(&installation.tenant, "test", &|| true).await.unwrap();
    assert_eq!(report, PurgeReport::NothingLeft);
    app.connector.requests().len() - before
}

/// Another order of the one person whom the samples are about.
fn of_person(id: u64) -> Value {
    order(id, u32::try_from(id % 3000).unwrap())
}

fn redaction() -> CustomersRedact {
    serde_json::from_value(sample_body("webhooks/customers-redact/by-id")).unwrap()
}

/// Accepts the request for the person's erasure.
async fn ask(store: &Store, installation: &Installation) -> Work {
    let delivery = Delivery { webhook_id: "redact".to_owned(), topic: "customers/redact".to_owned() };
    let acceptance = store.accept_redaction(installation, &delivery, redaction()).unwrap();
    let work = acceptance.work().clone();
    assert_eq!(store.commit(acceptance).await.unwrap(), Outcome::Accepted);
    work
}

/// Both passes of an erasure, with time enough.
async fn erase(bench: &Bench, store: &Store, installation: &Installation, work: &Work) {
    let pass = store.erase_subject(installation, work, &|| true).await.unwrap();
    let Some(SecondPass::After(wait, next)) = pass else { panic!("{pass:?}") };
    bench.advance(wait).await;
    assert_eq!(store.erase_subject(installation, &next, &|| true).await.unwrap(), Some(SecondPass::Done));
}

fn left_of_person(bench: &Bench) -> Vec<Value> {
    ["order", "match", "subject", "progress"].iter().flat_map(|kind| bench.items(kind)).collect()
}

/// Erases a person with so many orders, under the limits: what the first pass takes.
async fn redact(orders: u64) -> Took {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    take_in(app.store().await, &installation, (1..=orders).map(of_person)).await;
    let work = ask(app.store().await, &installation).await;
    let capacity = Capacity::of(bench.cloud.dynamodb());
    let limited = bench.app_through(capacity.limit(bench.transport()), FaultPlan::none());
    let store = limited.store().await;
    let _setting_up = capacity.take();
    let (virtually, really) = (Instant::now(), stopwatch());
    let pass = store.erase_subject(&installation, &work, &|| true).await.unwrap();
    let took = Took {
        records: orders,
        used: capacity.take(),
        virtually: virtually.elapsed(),
        really: really.elapsed(),
    };
    assert_eq!(left_of_person(&bench), Vec::<Value>::new());
    let Some(SecondPass::After(wait, next)) = pass else { panic!("{pass:?}") };
    bench.advance(wait).await;
    assert_eq!(store.erase_subject(&installation, &next, &|| true).await.unwrap(), Some(SecondPass::Done));
    let receipts = receipts(&bench, &app, &installation, What::SubjectErasureVerified).await;
    assert_eq!(receipts.iter().map(|entry| entry.counts["order"]).collect::<Vec<_>>(), [orders]);
    receipts[0].receipt.as_ref().unwrap().verify().unwrap();
    took
}

#[tokio::test(start_paused = true)]
async fn what_an_erasure_takes_for_an_order_is_the_same_for_a_person_with_any_number() {
    // More than fit into one page of an erasure.
    let orders = orders(1100);
    let (half, whole) = (redact(orders / 2).await, redact(orders).await);
    whole.print("redaction");
    let more = whole.used.all() - half.used.all();
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let each = more as f64 / (orders / 2) as f64;
    assert!(each < 1.0, "{each} requests for one more order");
    // Ten thousand orders are gone within seconds: of their rows that many are in each of a few partitions, which take
    // 1,000 writes/s each, all at the same time.
    let more = whole.virtually.saturating_sub(half.virtually).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let each = more / (orders / 2) as f64;
    assert!(each < 0.002, "{each} virtual s for one more order");
}

/// A shop in which one person has a case of more orders than a case lists.
async fn large_case(bench: &Bench, app: &App) -> Installation {
    let installation = app.install().await;
    for id in 1..=55 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
        bench.drain(app).await;
    }
    let cases = app.cases(&installation).await;
    assert_eq!(cases.iter().map(|case| (case.size, case.members.len())).collect::<Vec<_>>(), [(55, 50)]);
    installation
}

#[tokio::test(start_paused = true)]
async fn an_erasure_that_ends_anywhere_goes_on_and_counts_a_large_case_exactly() {
    // Given a person with a case larger than what a case lists, and a copy of the whole to begin from each time.
    let began = Bench::new().await;
    let calm = began.app();
    let installation = large_case(&began, &calm).await;
    let work = ask(calm.store().await, &installation).await;
    let before = snapshot(&began);
    let mut at = 0;
    loop {
        // When the erasure ends at one of its requests.
        restore(&began, &before, &TABLES);
        let app = began.app_through(began.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let erasing = async { erase(&began, app.store().await, &installation, &work).await };
        let ended = Box::pin(app.connector.run(erasing)).await;
        let store = calm.store().await;
        if ended == connector::Outcome::Crashed {
            // Then the next one comes to the end.
            match store.erase_subject(&installation, &work, &|| true).await.unwrap() {
                Some(SecondPass::After(wait, next)) => {
                    began.advance(wait).await;
                    let done = store.erase_subject(&installation, &next, &|| true).await.unwrap();
                    assert_eq!(done, Some(SecondPass::Done), "crash at {at}");
                }
                done => assert_eq!(done, Some(SecondPass::Done), "crash at {at}"),
            }
        }
        assert_eq!(left_of_person(&began), Vec::<Value>::new(), "crash at {at}");
        let cases = calm.cases(&installation).await;
        let kept: Vec<_> = cases.iter().map(|case| (case.state, case.size, case.members.len())).collect();
        assert_eq!(kept, [(CaseState::Anonymised, 55, 0)], "crash at {at}");
        let receipts = receipts(&began, &calm, &installation, What::SubjectErasureVerified).await;
        let counts = receipts.iter().map(|entry| (entry.counts["order"], entry.counts["case"]));
        assert_eq!(counts.collect::<Vec<_>>(), [(55, 1)], "crash at {at}");
        if ended != connector::Outcome::Crashed {
            assert!(at > 30, "{at} requests");
            break;
        }
        at += 3;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolved_case_of_any_size_is_deleted_when_the_merchant_asks_and_its_orders_are_free_for_another() {
    // Given a resolved case of more orders than a case lists
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = large_case(&bench, &app).await;
    let case = app.cases(&installation).await.remove(0);
    let (store, listed) = (app.store().await, case.members.len());
    let decided = store.decide(&installation, &case.reference, Decision::Dismiss, None).await.unwrap();
    assert!(matches!(decided, Deciding::Decided(_)), "{decided:?}");
    // When the merchant deletes it, then it is gone with what lists and leads to it
    assert_eq!(store.delete_case(&installation, &case.reference).await.unwrap(), Deleting::Deleted);
    assert_eq!(store.delete_case(&installation, &case.reference).await.unwrap(), Deleting::Missing);
    let left: Vec<Value> = ["case", "case-index"].iter().flat_map(|kind| bench.items(kind)).collect();
    assert_eq!(left, Vec::<Value>::new());
    // And the next order makes another with those that it listed and those that it did not.
    app.order("w56", &order(56, 56)).await;
    bench.drain(&app).await;
    let cases = app.cases(&installation).await;
    let [again] = cases.as_slice() else { panic!("{cases:?}") };
    let members: Vec<u64> = again.members.iter().map(|member| *member.id.expose()).collect();
    let unlisted = 1 + u64::try_from(listed).unwrap();
    assert_ne!(again.reference, case.reference);
    assert!(members.contains(&56) && (unlisted..=55).all(|id| members.contains(&id)), "{members:?}");
    assert!(members.iter().any(|id| *id < unlisted), "{members:?}");
}

#[tokio::test(start_paused = true)]
async fn an_erasure_without_time_does_not_begin_and_the_next_one_ends_it() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    take_in(app.store().await, &installation, (1..=5).map(of_person)).await;
    let work = ask(app.store().await, &installation).await;
    let store = app.store().await;
    let pass = store.erase_subject(&installation, &work, &|| false).await.unwrap();
    assert_eq!(pass, Some(SecondPass::After(Duration::ZERO, work.clone())));
    assert_eq!(bench.items("order").len(), 5);
    erase(&bench, store, &installation, &work).await;
    assert_eq!(left_of_person(&bench), Vec::<Value>::new());
}
