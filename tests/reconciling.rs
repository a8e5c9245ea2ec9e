//! What webhooks did not bring is made up for: the hourly comparison with the simulated Shopify, on loopback.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use storeward_core::guard::GuardSettings;
use storeward_core::oauth::{Access, Scopes};
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, MINUTE, Timestamp};
use storeward_host::Invocation;
use storeward_local::shopify::{Shopify, SimulatedShop};
use storeward_store::{CaseState, Installation, Profile, Standing};

use crate::bench::{App, Bench, SHOP, delivery, order, sample};

const TOKEN: &str = "test-access-token";

/// A shop with access to its simulated Admin API, and an instance of everything.
async fn connected() -> (Bench, App, Installation, Shopify) {
    let mut bench = Bench::new().await;
    let shopify = Shopify::new(Arc::new(bench.clock.clone())).unwrap();
    shopify.install(SimulatedShop {
        domain: SHOP.to_owned(),
        id: 1,
        name: "Sample".to_owned(),
        email: "merchant@example.com".to_owned(),
        access_token: TOKEN.to_owned(),
        scopes: BTreeSet::from(["write_orders".to_owned()]),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = shopify.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    bench.set("STOREWARD_SHOPIFY_ENDPOINT", &format!("http://{address}/{{shop}}"));
    let app = bench.app();
    let profile = Profile {
        domain: SHOP.parse::<ShopDomain>().unwrap(),
        email: None,
        plan: None,
        shopify_id: None,
        public_domain: None,
    };
    let now = bench.clock.now();
    let access = Access::lasting(TOKEN, Scopes::parse("read_orders,write_orders"), now);
    let installation = app.store().await.connect(&profile, now, &access, now).await.unwrap();
    (bench, app, installation, shopify)
}

/// The order as it was told `minutes` after the tests begin.
fn told(mut order: Value, minutes: u32) -> Value {
    let at = Timestamp::parse_rfc3339(crate::bench::START).unwrap() + MINUTE * minutes;
    order["updated_at"] = json!(at.to_rfc3339());
    order
}

/// It happens in Shopify, and no webhook tells.
fn happens(shopify: &Shopify, order: &Value) {
    shopify.hear_of(SHOP, order.to_string().as_bytes());
}

/// The hourly comparison, as deployed: how many queries it took.
async fn compare(bench: &Bench, app: &App, shopify: &Shopify) -> usize {
    let asked = || shopify.calls().iter().filter(|call| call.fields == ["orders"]).count();
    let before = asked();
    app.invoke("schedules/reconcile-orders", sample("schedules/reconcile-orders/hourly")).await.unwrap();
    bench.drain(app).await;
    asked() - before
}

// Not on paused time, so that only the functions' clock moves and not the queues': what goes over a socket would run into time-outs that jump.
#[tokio::test]
async fn what_happened_while_no_webhook_came_is_made_up_for_once() {
    // Given a shop that knows one order by webhook, and an outage in which it is cancelled and two others are placed.
    let (bench, app, installation, shopify) = connected().await;
    let first = told(order(1, 1), 1);
    happens(&shopify, &first);
    app.order("w1", &first).await;
    bench.drain(&app).await;
    bench.clock.advance(MINUTE * 60);
    let mut cancelled = told(first, 20);
    cancelled["cancelled_at"] = cancelled["updated_at"].clone();
    happens(&shopify, &cancelled);
    for (id, minutes) in [(2, 30), (3, 40)] {
        happens(&shopify, &told(order(id, 5), minutes));
    }
    // When the hour is over.
    assert_eq!(compare(&bench, &app, &shopify).await, 1);
    // Then the two are a case, the cancelled one is in none, and the case's orders are tagged as always.
    let cases = app.cases(&installation).await;
    assert_eq!(cases.iter().map(|case| (case.state, case.size)).collect::<Vec<_>>(), [(CaseState::Open, 2)]);
    let tagged = shopify.orders(SHOP).iter().filter(|order| !order.tags.is_empty()).count();
    assert_eq!(tagged, 2);
    // And the next hour costs one query, and the webhooks, coming late after all, change nothing.
    bench.clock.advance(MINUTE * 60);
    let before = (bench.items("order"), bench.items("match"), bench.items("case"));
    assert_eq!(compare(&bench, &app, &shopify).await, 1);
    assert_eq!(app.order("w2", &told(order(2, 5), 30)).await["outcome"], "duplicate");
    let late = delivery("orders/cancelled", "w3", &cancelled);
    assert_eq!(app.post("webhooks/orders-cancelled", late).await.0, 200);
    bench.drain(&app).await;
    assert_eq!((bench.items("order"), bench.items("match"), bench.items("case")), before);
}

#[tokio::test]
async fn many_orders_are_gone_through_in_pages_and_runs_and_none_twice() {
    // Given 120 orders of different people that no webhook told of.
    let (bench, app, installation, shopify) = connected().await;
    bench.clock.advance(MINUTE * 300);
    for id in 1..=120_u32 {
        let mut placed = order(u64::from(id), id);
        for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
            placed[field] = json!(null);
        }
        placed["email"] = json!(format!("person{id}@example.com"));
        happens(&shopify, &told(placed, id));
    }
    // When each run has time for one page only.
    let (mut runs, function) = (0, bootstrap::function("jobs/reconcile-shop").unwrap());
    app.invoke("schedules/reconcile-orders", sample("schedules/reconcile-orders/hourly")).await.unwrap();
    loop {
        let messages = bench.receive("storeward-development-reconcile-shop").await;
        let Some(message) = messages.first() else { break };
        assert!(!message.to_string().contains("example.com"));
        let deadline = storeward_core::time::Clock::now(&bench.clock);
        let event = crate::bench::batch(&messages);
        let answer =
            function.invoke(app.context(function.name), Invocation { event, deadline }).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]));
        bench.delete("storeward-development-reconcile-shop", message).await;
        runs += 1;
    }
    // Then three runs were enough, every order is there, and the next comparison begins at the end.
    assert_eq!(runs, 3);
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 120);
    assert_eq!(app.cases(&installation).await.len(), 0);
    assert_eq!(compare(&bench, &app, &shopify).await, 1);
}

#[tokio::test]
async fn a_shop_without_access_or_with_the_guard_off_is_not_asked_and_a_refusal_stops_nothing() {
    let (bench, app, installation, shopify) = connected().await;
    happens(&shopify, &told(order(1, 1), 1));
    let off = GuardSettings { enabled: false, ..GuardSettings::default() };
    assert!(app.store().await.change_settings(&installation, &off).await.unwrap());
    bench.clock.advance(MINUTE * 60);
    assert_eq!(compare(&bench, &app, &shopify).await, 0);
    // What happened while it was off stays out when it is on again.
    assert!(app.store().await.change_settings(&installation, &GuardSettings::default()).await.unwrap());
    bench.clock.advance(MINUTE * 60);
    happens(&shopify, &told(order(2, 1), 100));
    assert_eq!(compare(&bench, &app, &shopify).await, 1);
    assert_eq!(bench.items("order").len(), 1);
    // Throttled: the queue gives the message again.
    shopify.drain(SHOP);
    shopify.set_throttling(storeward_local::shopify::Throttling { restore_rate: 1, ..Default::default() });
    bench.clock.advance(MINUTE * 60);
    shopify.drain(SHOP);
    app.invoke("schedules/reconcile-orders", sample("schedules/reconcile-orders/hourly")).await.unwrap();
    bench.drain(&app).await;
    assert_eq!(bench.messages().await, 1, "kept");
    // Uninstalled in Shopify: there is nobody to ask, and nothing is kept.
    shopify.set_throttling(storeward_local::shopify::Throttling::default());
    shopify.uninstall(SHOP);
    bench.clock.advance(MINUTE * 60);
    assert_eq!(compare(&bench, &app, &shopify).await, 0);
    assert_eq!(bench.messages().await, 1, "no other");
}

#[tokio::test]
async fn what_the_api_tells_of_an_order_is_what_its_webhook_told() {
    // Given the same order in two shops' worth of stores: by webhook here, by comparison there.
    let sent = {
        let mut sent = told(order(9_007_199_254_740_993, 1), 1);
        sent["fulfillment_status"] = json!("fulfilled");
        sent
    };
    let mut kept = Vec::new();
    for by_webhook in [true, false] {
        let (bench, app, installation, shopify) = connected().await;
        bench.clock.advance(MINUTE * 60);
        happens(&shopify, &sent);
        if by_webhook {
            app.order("w1", &sent).await;
        } else {
            compare(&bench, &app, &shopify).await;
        }
        let name = format!("order/{}", bench.items("order")[0]["sk"]["S"].as_str().unwrap());
        let record = app.store().await.order(&installation, &name.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(record.standing, Standing::Fulfilled);
        kept.push(serde_json::to_value(&record.order).unwrap());
    }
    assert_eq!(kept[0], kept[1]);
}
