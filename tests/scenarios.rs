//! What a merchant, a customer and Shopify would see, from the webhook to the end.

use serde_json::json;
use storeward_core::matching::Reason;
use storeward_core::shop::ShopState;
use storeward_core::time::{HOUR, Timestamp};
use storeward_store::{CaseState, What};

use crate::bench::{Bench, START, delivery, order, sample, sample_body};

#[tokio::test(start_paused = true)]
async fn two_orders_seconds_apart_are_one_case_with_its_reasons() {
    // Given a shop with the app installed.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    // When the committed samples arrive: the same person orders twice.
    for name in ["first", "second-same-person"] {
        let (status, body) =
            app.post("webhooks/orders-create", sample(&format!("webhooks/orders-create/{name}"))).await;
        assert_eq!((status, &body["outcome"]), (200, &json!("accepted")));
    }
    bench.drain(&app).await;
    // Then there is one case, it names both orders, and it says why.
    let cases = app.cases(&installation).await;
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0].size, 2);
    assert_eq!(cases[0].state, CaseState::Open);
    assert!(cases[0].reasons.contains(&Reason::SameEmail), "{:?}", cases[0].reasons);
    assert!(cases[0].reasons.contains(&Reason::SamePhone), "{:?}", cases[0].reasons);
    assert_eq!(bench.messages().await, 0);
}

#[tokio::test(start_paused = true)]
async fn three_clicks_are_one_case_and_two_clusters_that_meet_become_one() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for id in 1..=3 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
        bench.drain(&app).await;
    }
    assert_eq!(app.cases(&installation).await.iter().map(|case| case.size).collect::<Vec<_>>(), [3]);
    // Given another cluster, of someone else.
    let other = |id: u64| {
        let mut other = order(id, 30);
        for person in ["email", "contact_email", "phone"] {
            other[person] = json!(null);
        }
        other["email"] = json!("someone.else@example.com");
        other["customer"] = json!(null);
        other["billing_address"] = json!(null);
        other["shipping_address"] = json!(null);
        other
    };
    for id in 11..=12 {
        app.order(&format!("w{id}"), &other(id)).await;
        bench.drain(&app).await;
    }
    assert_eq!(app.cases(&installation).await.len(), 2);
    // When an order agrees with both.
    let mut bridge = order(20, 60);
    bridge["contact_email"] = json!("someone.else@example.com");
    app.order("w20", &bridge).await;
    bench.drain(&app).await;
    // Then there is one case of all six, and asking for the other one gives it.
    let cases = app.cases(&installation).await;
    assert_eq!(cases.iter().map(|case| case.size).collect::<Vec<_>>(), [6]);
    assert_eq!(cases[0].members.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_erased_customer_is_gone_everywhere_and_does_not_come_back() {
    // Given a case of one customer, and an order of someone else.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for (id, name) in [("a", "first"), ("b", "second-same-person")] {
        app.order(id, &sample_body(&format!("webhooks/orders-create/{name}"))).await;
    }
    let mut other = order(77, 5);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        other[field] = json!(null);
    }
    other["email"] = json!("stays@example.com");
    app.order("c", &other).await;
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 3);
    // When Shopify asks for the customer's erasure.
    let request = sample("webhooks/customers-redact/by-id");
    let (status, body) = app.post("webhooks/customers-redact", request).await;
    assert_eq!((status, &body["outcome"]), (200, &json!("accepted")));
    bench.drain(&app).await;
    // Then only the other order is left, the case is anonymised, and no index row leads to the customer.
    assert_eq!(bench.items("order").len(), 1);
    let cases = app.cases(&installation).await;
    assert_eq!(
        cases.iter().map(|case| (case.state, case.size)).collect::<Vec<_>>(),
        [(CaseState::Anonymised, 2)]
    );
    assert!(cases[0].members.is_empty());
    assert!(cases[0].reasons.contains(&Reason::SameEmail), "on what they agreed stays");
    assert_eq!(bench.items("subject").len(), 1, "the other customer's");
    assert_eq!(bench.items("match").len(), 1, "the other customer's");
    // And a late delivery of an order from before is refused.
    let late = app.order("late", &order(1234, 9)).await;
    assert_eq!(late, json!({"outcome": "refused", "because": "erased"}));
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 1);
    // And the second pass, a quarter of an hour later, writes the receipt and forgets whom it was about.
    bench.advance(HOUR).await;
    bench.drain(&app).await;
    let store = app.store().await;
    let ledger =
        store.ledger_of(&installation.tenant.shop, Timestamp::parse_rfc3339(START).unwrap()).await.unwrap();
    let receipt = ledger.iter().find(|entry| entry.what == What::SubjectErasureVerified).expect("a receipt");
    assert_eq!(receipt.counts["order"], 2);
    assert_eq!(receipt.counts["case"], 1);
    assert!(bench.items("request").iter().all(|item| item.get("sealed").is_none()));
    // And who orders again later is served.
    let mut again = order(4321, 0);
    again["created_at"] = json!("2026-11-20T17:30:00Z");
    assert_eq!(app.order("again", &again).await, json!({"outcome": "accepted"}));
    assert_eq!(bench.messages().await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_uninstalled_shop_is_gone_before_48_hours_with_a_receipt() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for id in 1..=5 {
        app.order(&format!("w{id}"), &order(id, 1)).await;
    }
    bench.drain(&app).await;
    // When the app is uninstalled, nothing more is taken in.
    let (status, _) = app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    assert_eq!(status, 200);
    let refused = app.order("late", &order(9, 1)).await;
    assert_eq!(refused, json!({"outcome": "refused", "because": "uninstalled"}));
    assert!(!bench.left_of(&installation.tenant).is_empty());
    // Then after 37 hours nothing of it is left, but in the ledger.
    bench.live(&app, 37).await;
    assert_eq!(bench.left_of(&installation.tenant), Vec::<String>::new());
    assert_eq!(bench.messages().await, 0);
    let store = app.store().await;
    let day = Timestamp::parse_rfc3339("2026-11-22T05:00:00Z").unwrap();
    let ledger = store.ledger_of(&installation.tenant.shop, day).await.unwrap();
    let receipt = ledger.iter().find(|entry| entry.what == What::ShopPurged).expect("a receipt");
    assert_eq!(receipt.counts["order"], 5);
    assert!(receipt.verified.is_some());
    // And shop/redact, at 48 hours, confirms.
    bench.live(&app, 11).await;
    let (status, body) = app.post("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    assert_eq!((status, body), (200, json!({"outcome": "nothing_to_do"})));
}

#[tokio::test(start_paused = true)]
async fn a_shop_that_installs_again_keeps_what_is_new() {
    // Given a shop that was uninstalled and installed again the next hour.
    let bench = Bench::new().await;
    let app = bench.app();
    let before = app.install().await;
    app.order("old", &order(1, 1)).await;
    bench.drain(&app).await;
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    bench.live(&app, 1).await;
    let after = app.install().await;
    assert_ne!(before.tenant, after.tenant);
    let mut new = order(2, 1);
    new["created_at"] = json!("2026-11-20T17:30:00Z");
    app.order("new", &new).await;
    bench.drain(&app).await;
    // When the old installation's purge comes due, and its shop/redact comes late.
    bench.live(&app, 48).await;
    let (status, body) = app.post("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    bench.live(&app, 2).await;
    // Then the redact is refused, the old installation is gone and the new one untouched.
    assert_eq!((status, body), (200, json!({"outcome": "refused", "because": "installed"})));
    assert_eq!(bench.left_of(&before.tenant), Vec::<String>::new());
    assert_eq!(bench.items("order").len(), 1);
    // And an uninstall that happened before the new installation does not end it.
    let mut stale = delivery("app/uninstalled", "stale", &sample_body("webhooks/app-uninstalled/plain"));
    stale["headers"]["x-shopify-triggered-at"] = json!("2026-11-20T16:30:00Z");
    let (_, body) = app.post("webhooks/app-uninstalled", stale).await;
    assert_eq!(body, json!({"outcome": "refused", "because": "before_installation"}));
    let standing = app.store().await.state_of(&after.tenant).await.unwrap();
    assert_eq!(standing, Some(ShopState::Installed));
}
