//! A backup that is restored after an erasure and a purge: nothing of who was erased is given out before the erasures
//! since are repeated, and nothing of them is left after.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_core::time::{Clock as _, HOUR, Timestamp};
use storeward_store::{CaseState, Replayed, Replaying, Store, StoreError, What};

use crate::bench::{Bench, SECRETS, SHOP, order, sample, sample_body, signed_delivery};
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

/// The three tables, as the template names them.
pub(crate) const TABLES: [&str; 3] =
    ["storeward-development-data", "storeward-development-keys", "storeward-development-ledger"];

/// Every item of every table.
pub(crate) fn snapshot(bench: &Bench) -> BTreeMap<String, Vec<Value>> {
    bench.dump()
}

/// Puts tables back to what they were: what is not in the snapshot is gone. As after a restore, nothing that is expired
/// is deleted from them any more.
pub(crate) fn restore(bench: &Bench, snapshot: &BTreeMap<String, Vec<Value>>, tables: &[&str]) {
    let call = |operation: &str, body: Value| {
        let target = format!("DynamoDB_20120810.{operation}");
        let answer = bench.cloud.dynamodb().call(&target, body.to_string().as_bytes());
        assert_eq!(answer.status(), 200, "{operation}: {answer:?}");
    };
    for table in tables {
        for item in bench.dump().remove(*table).unwrap() {
            call("DeleteItem", json!({ "TableName": table, "Key": { "pk": item["pk"], "sk": item["sk"] } }));
        }
        for item in &snapshot[*table] {
            call("PutItem", json!({ "TableName": table, "Item": item }));
        }
    }
}

const OTHER: &str = "storeward-two.myshopify.com";

/// A deployment of two shops, and the moment of its backup. In the first, two orders of one person are a case, and a
/// third is somebody else's.
struct World {
    bench: Bench,
    backup: BTreeMap<String, Vec<Value>>,
    at: Timestamp,
}

impl World {
    /// `asked` says whether the person's erasure was asked for before the backup, and not worked on yet.
    async fn new(asked: bool) -> Self {
        let bench = Bench::new().await;
        let app = bench.app();
        app.install().await;
        app.install_in(OTHER).await;
        bench.two_orders(&app).await;
        let mut stays = order(3, 5);
        for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
            stays[field] = json!(null);
        }
        stays["email"] = json!("stays@example.com");
        app.order("w3", &stays).await;
        let theirs = signed_delivery("orders/create", "w4", OTHER, SECRETS[0], &order(4, 1).to_string());
        assert_eq!(app.post("webhooks/orders-create", theirs).await.0, 200);
        bench.drain(&app).await;
        let redact = || sample("webhooks/customers-redact/by-id");
        if asked {
            assert_eq!(app.post("webhooks/customers-redact", redact()).await.0, 200);
        }
        let (backup, at) = (snapshot(&bench), bench.clock.now());
        // Since the backup: the person is erased, and the other shop is purged.
        if !asked {
            bench.advance(HOUR).await;
            assert_eq!(app.post("webhooks/customers-redact", redact()).await.0, 200);
        }
        bench.drain(&app).await;
        let mut ended = sample_body("webhooks/app-uninstalled/plain");
        ended["myshopify_domain"] = json!(OTHER);
        ended["domain"] = json!(OTHER);
        ended["id"] = json!(2);
        let ended = signed_delivery("app/uninstalled", "gone", OTHER, SECRETS[0], &ended.to_string());
        assert_eq!(app.post("webhooks/app-uninstalled", ended).await.0, 200);
        bench.live(&app, 38).await;
        Self { bench, backup, at }
    }

    /// The disaster, and the data table as it was at the backup. Keys and ledger stay as they are.
    fn restore_data(&self) {
        restore(&self.bench, &self.backup, &TABLES[..1]);
        self.table("UpdateTimeToLive", &json!({ "AttributeName": "expires_at", "Enabled": false }));
    }

    /// Calls DynamoDB about the data table.
    fn table(&self, operation: &str, specification: &Value) -> Value {
        let body = json!({ "TableName": TABLES[0], "TimeToLiveSpecification": specification });
        let target = format!("DynamoDB_20120810.{operation}");
        let answer = self.bench.cloud.dynamodb().call(&target, body.to_string().as_bytes());
        assert_eq!(answer.status(), 200, "{operation}: {answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    }

    const fn replaying(&self) -> Replaying {
        Replaying { restored_to: self.at, after: None, scanned: false }
    }

    /// What must hold when the replay is over.
    async fn assert_replayed(&self, store: &Store, when: &str) {
        let shop = store.shop_id(&SHOP.parse().unwrap());
        let installation = store.installation(&shop).await.unwrap().unwrap();
        // Of the first shop's orders the other person's is left, with its rows.
        let left = self.bench.items("order");
        assert_eq!(left.len(), 1, "{when}");
        assert_eq!(self.bench.items("subject").len(), 1, "{when}");
        assert_eq!(self.bench.items("match").len(), 1, "{when}");
        assert!(self.bench.items("progress").is_empty(), "{when}");
        let cases = store.cases(&installation).await.unwrap();
        let kept: Vec<_> = cases.iter().map(|case| (case.state, case.size, case.members.len())).collect();
        assert_eq!(kept, [(CaseState::Anonymised, 2, 0)], "{when}");
        // Nothing of the other shop is.
        let gone = store.shop_id(&OTHER.parse().unwrap());
        assert_eq!(store.installation(&gone).await.unwrap().map(|of| of.tenant), None, "{when}");
        for item in self.bench.dump().remove(TABLES[0]).unwrap() {
            assert!(!item.to_string().contains(gone.as_str()), "{when}: {item}");
        }
        // Nobody's request says any more whom it was about.
        assert!(self.bench.items("request").iter().all(|item| item["sealed"].is_null()), "{when}");
        let status = self.table("DescribeTimeToLive", &Value::Null)["TimeToLiveDescription"].clone();
        assert_eq!(status["TimeToLiveStatus"], "ENABLED", "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_gives_nothing_out_until_the_erasures_since_are_repeated() {
    let world = World::new(false).await;
    world.restore_data();
    let app = world.bench.app();
    let store = app.store().await;
    // Given back is what was erased; but none of it is given out, and of the purged shop nothing can be opened.
    assert_eq!(world.bench.items("order").len(), 4);
    let shop = store.shop_id(&SHOP.parse().unwrap());
    assert_eq!(store.installation(&shop).await.unwrap_err(), StoreError::Restored);
    let gone = store.shop_id(&OTHER.parse().unwrap());
    assert!(matches!(store.installation(&gone).await, Err(StoreError::Corrupt(_))));
    let (status, answer) =
        app.post("webhooks/orders-create", crate::bench::delivery("orders/create", "w9", &order(9, 1))).await;
    assert_eq!(status, 503, "{answer}");
    // When the erasures are repeated, with a first run that has no time.
    let unfinished = store.replay(world.replaying(), &|| false).await.unwrap();
    let Replayed::Unfinished(goes_on) = unfinished else { panic!("{unfinished:?}") };
    assert_eq!(store.installation(&shop).await.unwrap_err(), StoreError::Restored);
    assert_eq!(store.replay(goes_on, &|| true).await.unwrap(), Replayed::Done);
    // Then nothing of the person and of the purged shop is left, the ledger says so, and the shop is served.
    world.assert_replayed(store, "replayed").await;
    let today = store.ledger_of(&shop, world.bench.clock.now()).await.unwrap();
    let replays: Vec<_> = today.iter().filter(|entry| entry.what == What::ErasuresReplayed).collect();
    assert_eq!(replays.len(), 1);
    assert_eq!((replays[0].counts["order"], replays[0].counts["case"]), (2, 1));
    let late = app.order("late", &order(1234, 9)).await;
    assert_eq!(late, json!({"outcome": "refused", "because": "erased"}));
    // Once more changes nothing.
    let before = world.bench.dump();
    assert_eq!(store.replay(world.replaying(), &|| true).await.unwrap(), Replayed::Done);
    assert_eq!(world.bench.dump(), before);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_open_at_the_backup_forgets_again_whom_it_was_about() {
    let world = World::new(true).await;
    world.restore_data();
    assert_eq!(world.bench.items("request").iter().filter(|item| !item["sealed"].is_null()).count(), 1);
    let app = world.bench.app();
    assert_eq!(app.store().await.replay(world.replaying(), &|| true).await.unwrap(), Replayed::Done);
    world.assert_replayed(app.store().await, "replayed").await;
    // And what the restored table still has to do comes to nothing.
    world.bench.live(&app, 3).await;
    world.assert_replayed(app.store().await, "three hours later").await;
    assert_eq!(world.bench.messages().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_ends_anywhere_comes_to_the_same_end() {
    let world = World::new(false).await;
    let after = snapshot(&world.bench);
    let mut at = 0;
    loop {
        restore(&world.bench, &after, &TABLES[1..]);
        world.restore_data();
        let plan = FaultPlan::none().at(at, Fault::CrashAfter);
        let app = world.bench.app_through(world.bench.transport(), plan);
        let replay = async { app.store().await.replay(world.replaying(), &|| true).await.unwrap() };
        let ended = Box::pin(app.connector.run(replay)).await;
        let calm = world.bench.app();
        assert_eq!(calm.store().await.replay(world.replaying(), &|| true).await.unwrap(), Replayed::Done);
        world.assert_replayed(calm.store().await, &format!("crash at {at}")).await;
        if ended != Outcome::Crashed {
            assert!(at > 100, "{at} requests");
            return;
        }
        at += 29;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_restricted_since_a_backup_is_not_used_and_what_was_lifted_since_is() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    bench.two_orders(&app).await;
    let person = identifiers(&[&"sample.customer@example.com".to_owned().into()], &[], None);
    let request = "request/0123456789abcdef0123456789abcdef".parse().unwrap();
    let shown = async |limited: usize, when: &str| {
        let cases = bench.app().cases(&installation).await;
        let members: Vec<_> = cases.iter().map(|case| (case.members.len(), case.restricted())).collect();
        assert_eq!(members, [(2 - limited, limited)], "{when}");
        let used = |kind: &str| bench.items(kind).iter().filter(|item| item["use_limited"].is_null()).count();
        assert_eq!((used("order"), used("match") == 0), (2 - limited, limited == 2), "{when}");
    };
    // The table as it was before, and as it was while the person restricted the use of their data.
    let (before, at) = (snapshot(&bench), bench.clock.now());
    bench.advance(HOUR).await;
    let store = app.store().await;
    store.limit_subject(&installation, &person, Limit::Restricted, &request).await.unwrap();
    let during = snapshot(&bench);
    for (backup, limited) in [(before, 2), (during, 0)] {
        if limited == 0 {
            bench.advance(HOUR).await;
            store.lift_limit(&installation, &person, Limit::Restricted, &request).await.unwrap();
            store.lifting_done(&installation, &person).await.unwrap();
        }
        restore(&bench, &backup, &TABLES[..1]);
        // It is not served as it was then.
        let restored = bench.app();
        let store = restored.store().await;
        let shop = &installation.tenant.shop;
        assert_eq!(store.installation(shop).await.unwrap_err(), StoreError::Restored);
        let replaying = Replaying { restored_to: at, after: None, scanned: false };
        let unfinished = store.replay(replaying.clone(), &|| false).await.unwrap();
        assert!(matches!(unfinished, Replayed::Unfinished(_)), "{unfinished:?}");
        assert_eq!(store.installation(shop).await.unwrap_err(), StoreError::Restored);
        for _ in 0..2 {
            assert_eq!(store.replay(replaying.clone(), &|| true).await.unwrap(), Replayed::Done);
            assert!(store.installation(shop).await.unwrap().is_some());
            shown(limited, "replayed").await;
        }
    }
}
