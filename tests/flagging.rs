//! What reaches the merchant's shop when orders look like one: a tag on each of them, and nothing else.
//! How a case comes about stands in the scenarios; Shopify's side is the simulated one, on loopback.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use storeward_core::oauth::{Access, Scopes};
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock as _, Timestamp};
use storeward_local::shopify::{Shopify, SimulatedOrder, SimulatedShop};
use storeward_store::Profile;

use crate::bench::{Bench, SHOP, order};

const TOKEN: &str = "test-access-token";

// Not on paused time: what goes over a socket would run into time-outs that jump.
#[tokio::test]
async fn the_orders_of_a_case_are_tagged_and_nothing_else_is_done_to_them() {
    // Given a shop with three orders, two of them of one person.
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
    let placed = Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap();
    for id in 1..=3 {
        assert!(shopify.add_order(SHOP, SimulatedOrder::new(id, format!("#{id}"), placed)));
    }
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
    let access = Access::lasting(TOKEN, Scopes::parse("write_orders"), now);
    let installation = app.store().await.connect(&profile, now, &access, now).await.unwrap();
    let mut other = order(3, 3);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        other[field] = json!(null);
    }
    other["email"] = json!("someone.else@example.com");
    // When they arrive, and the work is delivered once more than it should be.
    for (id, body) in [(1, order(1, 1)), (2, order(2, 2)), (3, other)] {
        app.order(&format!("w{id}"), &body).await;
        let waiting = bench.cloud.sqs().peek("storeward-development-match-order").await.unwrap();
        bench.drain(&app).await;
        bench.cloud.sqs().send("storeward-development-match-order", &waiting[0].body).await.unwrap();
        bench.drain(&app).await;
    }
    assert_eq!(app.cases(&installation).await.len(), 1);
    // Then the two have the tag, the third is as it was, and tagging is all that was asked of Shopify.
    for found in shopify.orders(SHOP) {
        let tags: &[&str] = if found.id == 3 { &[] } else { &[match_order::TAG] };
        assert_eq!(found.tags, tags, "{}", found.id);
        assert!(found.assessments.is_empty() && found.holds.is_empty() && !found.fulfilled);
    }
    let calls = shopify.calls();
    assert_eq!(calls.len(), 2, "each order is tagged once");
    for call in calls {
        assert_eq!((call.fields.as_slice(), call.status), (&["tagsAdd".to_owned()][..], 200));
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let names: Vec<&String> = body["variables"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["id", "tags"], "an order's number and the tag: nothing personal");
    }
}
