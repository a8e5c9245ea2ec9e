//! What is put together about somebody of whom more is stored than one transaction writes or one answer carries: answered
//! all the same, in pieces, whole whatever happens on the way, and gone with the person. A shop's handover is held to the
//! same answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use storeward_api::HandoverBody;
use storeward_core::order::Order;
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind, RightsState};
use storeward_core::time::{DAY, MINUTE};
use storeward_local::runtime::lambda::LARGEST_PAYLOAD;
use storeward_store::{Asked, Asking, Delivery, Installation, Linking, Outcome, What, Work};

use crate::bench::{App, Bench, order, sample};
use crate::support::connector;
use crate::support::faults::{Fault, FaultPlan};

const EMAIL: &str = "sample.customer@example.com";

struct World {
    bench: Bench,
    app: App,
    installation: Installation,
}

impl World {
    /// A shop with so many orders of one person, of some kilobytes each.
    async fn new(orders: u64, kilobytes: usize) -> Self {
        let bench = Bench::new().await;
        let app = bench.app();
        let installation = app.install().await;
        let store = app.store().await;
        for id in 1..=orders {
            let mut body = order(id, 1);
            // What a page has to escape, among the rest.
            body["shipping_address"]["address2"] =
                json!(format!("{id} it's \"here\" ").repeat(kilobytes * 60));
            let order: Order = serde_json::from_value(body).unwrap();
            let delivery = Delivery { webhook_id: format!("w{id}"), topic: "orders/create".to_owned() };
            let acceptance = store.accept_order(&installation, &delivery, order).unwrap();
            let work = acceptance.work().clone();
            assert_eq!(store.commit(acceptance).await.unwrap(), Outcome::Accepted);
            store.complete(&work).await.unwrap();
        }
        Self { bench, app, installation }
    }

    /// The person asks, by the merchant: what a job is sent, and has not done.
    async fn asked(&self) -> (Work, Asked) {
        let store = self.app.store().await;
        let person = Person { email: Some(EMAIL.to_owned().into()), ..Person::default() };
        let (kind, by, corrections) = (RightsKind::Access, OpenedBy::Merchant, Corrections::default());
        let asking = Asking { kind, by, person, corrections };
        let acceptance = store.open_request(&self.installation, "large", &asking).unwrap();
        let work = acceptance.work().clone();
        assert_eq!(store.commit(acceptance).await.unwrap(), Outcome::Accepted);
        (work, store.asked_as(&self.installation, by, "large").await.unwrap().unwrap())
    }

    async fn state(&self, asked: &Asked) -> RightsState {
        let store = self.app.store().await;
        store.asked(&self.installation.tenant, &asked.reference).await.unwrap().unwrap().state
    }

    /// Follows a link: the answer, which a function can give.
    async fn fetch(&self, token: &str) -> Value {
        let mut event = sample("api/exports/fetch");
        event["pathParameters"]["token"] = json!(token);
        let answer = self.app.invoke("api/exports", event).await.unwrap();
        let size = serde_json::to_string(&answer).unwrap().len();
        assert!(size <= LARGEST_PAYLOAD, "{size} bytes");
        answer
    }

    fn parts(&self) -> usize {
        self.bench.items("export").iter().filter(|item| item["phase"]["S"] == "part").count()
    }

    async fn erase(&self) {
        self.app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
        self.bench.drain(&self.app).await;
    }
}

/// The numbers of the orders among records, each of which is there once.
fn numbers(records: &[Value]) -> BTreeSet<u64> {
    let orders = records.iter().filter(|record| record["kind"] == "order");
    let listed: Vec<u64> = orders.map(|order| order["data"]["id"].as_u64().unwrap()).collect();
    let distinct: BTreeSet<u64> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len(), "an order twice");
    distinct
}

#[tokio::test(start_paused = true)]
async fn who_has_more_stored_than_one_answer_carries_is_answered_in_pieces() {
    let world = World::new(300, 30).await;
    let (work, asked) = world.asked().await;
    let store = world.app.store().await;
    assert!(store.make_export(&world.installation, &work).await.unwrap());
    assert_eq!(world.state(&asked).await, RightsState::Ready);
    assert!(world.parts() > 15, "{}", world.parts());
    let linked = store.link_export(&world.installation, &asked.reference).await.unwrap();
    let Linking::Made { token, pieces, .. } = linked else { panic!("{linked:?}") };
    assert!(pieces > 2, "{pieces}");
    // When each piece is fetched, as a file and as a page
    let mut records = Vec::new();
    for piece in 1..=pieces {
        assert_eq!(world.state(&asked).await, RightsState::Ready, "not all of it was given");
        let name = if piece == 1 { token.clone() } else { format!("{token}.{piece}") };
        let json = world.fetch(&format!("{name}.json")).await;
        assert_eq!(json["statusCode"], 200, "{piece}");
        let file = format!("attachment; filename=\"subject-export-{piece}.json\"");
        assert_eq!(json["headers"]["content-disposition"], file);
        let document: Value = serde_json::from_str(json["body"].as_str().unwrap()).unwrap();
        assert_eq!((&document["piece"], &document["pieces"]), (&json!(piece), &json!(pieces)));
        records.extend(document["records"].as_array().unwrap().iter().cloned());
        let html = world.fetch(&format!("{name}.html")).await;
        assert!(html["body"].as_str().unwrap().contains(&format!("part {piece} of {pieces}")));
    }
    // Then everything is there once, and the request is done
    assert_eq!(numbers(&records), (1..=300).collect());
    assert_eq!(world.state(&asked).await, RightsState::Done);
    let now = storeward_core::time::Clock::now(&world.bench.clock);
    let entries = store.ledger_of(&world.installation.tenant.shop, now).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.what == What::ExportDelivered).count(), 1);
    // What is no piece is not found, nor is one under another name
    for odd in ["0", "1", "02", "+2", "2.2", "", &(pieces + 1).to_string(), &usize::MAX.to_string()] {
        let answer = world.fetch(&format!("{token}.{odd}.json")).await;
        assert_eq!(answer["statusCode"], 404, "{odd}");
    }
    // And all of it ends with its window
    world.bench.advance(DAY * 31).await;
    assert_eq!(world.bench.items("export").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_many_parts_is_whole_wherever_its_job_stops_and_nothing_else_is_left() {
    let world = World::new(60, 40).await;
    let (work, asked) = world.asked().await;
    let store = world.app.store().await;
    // Given a job that is stopped after each of its requests in turn, and a later one that goes on from what it left
    let (mut at, mut most) = (0, 0);
    loop {
        let plan = FaultPlan::none().at(at, Fault::CrashAfter);
        let stopped = world.bench.app_through(world.bench.transport(), plan);
        let ended = stopped.connector.run(async {
            let store = stopped.store().await;
            Box::pin(store.make_export(&world.installation, &work)).await
        });
        let ended = ended.await;
        most = most.max(world.parts());
        if let connector::Outcome::Finished(made) = ended {
            assert!(made.unwrap());
            break;
        }
        // Nobody sees what is not whole.
        if world.state(&asked).await == RightsState::Received {
            let open = store.export(&world.installation, &work.record).await.unwrap().unwrap();
            assert_eq!(open.records, Vec::new());
        }
        at += 1;
    }
    assert!(at > 10 && most >= 10, "{at} requests, {most} parts");
    // Then it is whole, and there is no part that it does not have
    let made = store.export(&world.installation, &work.record).await.unwrap().unwrap();
    assert_eq!(numbers(json!(made.records).as_array().unwrap()), (1..=60).collect());
    let parts = world.parts();
    assert!((11..=20).contains(&parts), "{parts}: more than one transaction writes, and those of one run");
    let now = storeward_core::time::Clock::now(&world.bench.clock);
    let entries = store.ledger_of(&world.installation.tenant.shop, now).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.what == What::SubjectExported).count(), 1);
    // And the person's erasure takes all of it
    world.erase().await;
    assert_eq!(world.bench.items("export").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_erasure_takes_the_parts_of_an_answer_that_was_not_finished() {
    let world = World::new(60, 40).await;
    let (work, _) = world.asked().await;
    // Given a job that is stopped when it has written parts
    for at in 0.. {
        let plan = FaultPlan::none().at(at, Fault::CrashAfter);
        let stopped = world.bench.app_through(world.bench.transport(), plan);
        let ended = stopped
            .connector
            .run(async { Box::pin(stopped.store().await.make_export(&world.installation, &work)).await });
        assert!(matches!(ended.await, connector::Outcome::Crashed), "it was finished");
        if world.parts() > 0 {
            break;
        }
    }
    // Then they go with the person, and the job writes no more
    world.erase().await;
    assert_eq!(world.bench.items("export").len(), 0);
    let store = world.app.store().await;
    assert!(!store.make_export(&world.installation, &work).await.unwrap());
    assert_eq!(world.bench.items("export").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_handover_is_never_more_than_an_answer_carries() {
    let world = World::new(300, 30).await;
    let store = world.app.store().await;
    let (mut records, mut cursor, mut pages): (Vec<Value>, Option<String>, usize) = (Vec::new(), None, 0);
    loop {
        world.bench.advance(MINUTE).await;
        let page = store.hand_over(&world.installation, cursor.as_deref(), 500).await.unwrap().unwrap();
        cursor.clone_from(&page.next);
        let body = serde_json::to_value(HandoverBody::from(page)).unwrap();
        let size = serde_json::to_string(&json!({ "body": body.to_string() })).unwrap().len();
        assert!(size < LARGEST_PAYLOAD - 500_000, "{size} bytes");
        records.extend(body["records"].as_array().unwrap().iter().cloned());
        pages += 1;
        if cursor.is_none() {
            break;
        }
    }
    assert!(pages > 2, "{pages}");
    let orders = records.iter().filter(|record| record["kind"] == "order");
    let mut names: Vec<String> = orders.map(|order| order["data"]["record"].to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 300);
    let kinds: Vec<&Value> = records.iter().map(|record| &record["kind"]).collect();
    assert_eq!(
        kinds[..3],
        [&json!("shop"), &json!("member"), &json!("desk")],
        "the shop itself first, and once"
    );
    assert_eq!(kinds.iter().filter(|kind| **kind == "order").count(), 300);
}
