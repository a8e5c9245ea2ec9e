//! Simultaneous duplicates: whatever the order in which their requests reach DynamoDB and SQS, there is one case.
//! Every interleaving is tried, not a sample of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_store::CaseState;

use crate::bench::{App, Bench, SHOP, delivery, order, sample, signed_delivery};
use crate::support::connector::{Transport, transport};
use crate::support::explore::{Mode, Process, Report, World, explore};
use crate::support::faults::FaultPlan;
use crate::support::footprint::{Footprint, Touch};

/// A shop with the app installed, and for each order one process of the bundle with warm instances.
struct Shop {
    bench: Bench,
    processes: Vec<OneProcess>,
}

struct OneProcess {
    app: App,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    /// `gate` is where requests are held until they are chosen, once the instances are warm.
    async fn new(gate: Transport, processes: usize) -> Self {
        let bench = Bench::new().await;
        bench.app().install().await;
        let warm = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for _ in 0..processes {
            let sent: Arc<Mutex<Vec<String>>> = Arc::default();
            let way = watched(bench.transport(), gate.clone(), Arc::clone(&warm), Arc::clone(&sent));
            let app = bench.app_through(way, FaultPlan::none());
            warm_up(&app).await;
            all.push(OneProcess { app, sent });
        }
        warm.store(true, Ordering::SeqCst);
        Self { bench, processes: all }
    }

    /// The webhook of one order, and then the job for it, as one Lambda after the other runs them.
    async fn webhook_then_job(&self, process: usize) {
        let OneProcess { app, sent } = &self.processes[process];
        let id = u64::try_from(process).unwrap() + 1;
        let placed = by_email(id);
        let event = delivery("orders/create", &format!("w{id}"), &placed);
        let (status, body) = app.post("webhooks/orders-create", event).await;
        assert_eq!((status, &body["outcome"]), (200, &json!("accepted")));
        let message = sent.lock().unwrap().pop().expect("the webhook sent its reference");
        let batch = json!({ "Records": [{ "messageId": "1", "body": message }] });
        let answer = app.invoke("jobs/match-order", batch).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "the job is done");
    }
}

/// An order that is found by its e-mail address alone: each key more is a request more that runs side by side with
/// the others and sees the same, and multiplies the interleavings without adding one of another kind.
fn by_email(id: u64) -> serde_json::Value {
    let mut order = order(id, u32::try_from(id).unwrap());
    for field in ["contact_email", "phone", "customer", "billing_address", "shipping_address"] {
        order[field] = json!(null);
    }
    order
}

/// The way to the cloud, through the gate once `warm`; keeps what is sent to queues.
fn watched(
    direct: Transport,
    gate: Transport,
    warm: Arc<AtomicBool>,
    sent: Arc<Mutex<Vec<String>>>,
) -> Transport {
    transport(move |request: Request<Bytes>| {
        if request.headers().get("x-amz-target").is_some_and(|target| target == "AmazonSQS.SendMessage") {
            let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            sent.lock().unwrap().push(body["MessageBody"].as_str().unwrap().to_owned());
        }
        if warm.load(Ordering::SeqCst) { gate(request) } else { direct(request) }
    })
}

/// A first event for each function that changes nothing: secrets, deployment key and the shop's keys are known then.
async fn warm_up(app: &App) {
    let forged = signed_delivery("orders/create", "warm", SHOP, "test-wrong-secret", "{}");
    assert_eq!(app.post("webhooks/orders-create", forged).await.0, 401);
    let test_order = sample("webhooks/orders-create/test-order");
    assert_eq!(app.post("webhooks/orders-create", test_order).await.1, json!({"outcome": "nothing_to_do"}));
    let store = app.context("jobs/match-order").store().await.unwrap();
    store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap();
}

impl World for Shop {
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.bench.cloud.call(request).await
    }

    fn state(&self) -> String {
        let phases: Vec<_> = self.bench.items("case").iter().map(|item| item["phase"].clone()).collect();
        format!("{phases:?}")
    }

    fn held(&self, process: usize, done: &[usize]) -> bool {
        // The orders are alike but for their numbers: they are written in the order of those. A process has read the
        // shop and written its order after three requests (reading, writing and sending).
        process > 0 && done[process - 1] < 3
    }

    fn private(&self, request: &Footprint) -> bool {
        // Each process sends and then takes its own message. Installations and keys are only read; a delivery's marker
        // and due row belong to one process.
        let own = |touch: &Touch| {
            let partition = touch.partition.as_deref().unwrap_or_default();
            let read_by_all = partition.starts_with("shop#") && !touch.writes;
            read_by_all || partition.starts_with("due#") || partition.contains("#delivery#")
        };
        request.service == "SQS" || (!request.touches.is_empty() && request.touches.iter().all(own))
    }
}

fn all_interleavings(orders: usize, mode: Mode, limit: usize) -> Report {
    let processes: Vec<Process<Shop>> = (0..orders)
        .map(|process| {
            Process::new(&format!("order {}", process + 1), async move |shop: &Shop| {
                shop.webhook_then_job(process).await;
            })
        })
        .collect();
    explore(
        mode,
        limit,
        async |gate| Shop::new(gate, orders).await,
        &processes,
        async |shop: &Shop| {
            let app = shop.bench.app();
            let store = app.store().await;
            let installation =
                store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap().unwrap();
            let cases: Vec<(CaseState, u64, usize)> = store
                .cases(&installation)
                .await
                .unwrap()
                .iter()
                .map(|case| (case.state, case.size, case.members.len()))
                .collect();
            if cases == [(CaseState::Open, orders as u64, orders)] {
                return Ok(());
            }
            Err(format!("instead of one case of all {orders} orders: {cases:?}"))
        },
    )
}

/// A shop in which one order of a person is stored, another comes, and the person objects at the same time.
struct Objecting(Shop);

impl World for Objecting {
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.0.call(request).await
    }

    fn state(&self) -> String {
        self.0.state()
    }

    fn private(&self, request: &Footprint) -> bool {
        // The objection counts on the shop's row and on its keys, for a restored backup.
        let counted = |touch: &Touch| touch.partition.as_deref().is_some_and(|of| of.starts_with("shop#"));
        !request.touches.iter().any(counted) && self.0.private(request)
    }
}

#[test]
fn an_order_that_comes_while_its_person_objects_is_not_used_in_any_interleaving() {
    let person = || identifiers(&[&"sample.customer@example.com".to_owned().into()], &[], None);
    let order = Process::new("order", async move |shop: &Objecting| {
        let app = &shop.0.processes[0].app;
        app.post("webhooks/orders-create", delivery("orders/create", "w2", &by_email(2))).await;
    });
    let objection = Process::new("objection", async move |shop: &Objecting| {
        let store = shop.0.processes[1].app.store().await;
        let installation = store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap().unwrap();
        let request = "request/0123456789abcdef0123456789abcdef".parse().unwrap();
        store.limit_subject(&installation, &person(), Limit::Objected, &request).await.unwrap().unwrap();
    });
    let report = explore(
        Mode::Reduced,
        20_000,
        async |gate| {
            let shop = Shop::new(gate, 2).await;
            shop.bench.app().order("w1", &by_email(1)).await;
            Objecting(shop)
        },
        &[order, objection],
        async |shop: &Objecting| {
            let bench = &shop.0.bench;
            let used =
                |kind: &str| bench.items(kind).iter().filter(|item| item["use_limited"].is_null()).count();
            match (used("order"), used("match")) {
                (0, 0) => Ok(()),
                left => Err(format!("orders and rows that can be used: {left:?}")),
            }
        },
    );
    report.assert_holds();
    assert!(report.executions > 5, "{}", report.executions);
}

#[test]
fn two_simultaneous_duplicates_are_one_case_in_every_interleaving() {
    let report = all_interleavings(2, Mode::Reduced, 1_000);
    report.assert_holds();
    assert!(report.executions > 5, "{}", report.executions);
}

#[test]
fn three_simultaneous_duplicates_are_one_case_in_every_interleaving() {
    let report = all_interleavings(3, Mode::Reduced, 20_000);
    report.assert_holds();
    assert!(report.executions > 500, "{}", report.executions);
}
