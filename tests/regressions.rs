//! What went wrong once, each as its own small test. Found by the simulation or by reading; what must always hold is
//! checked there.

use std::time::Duration;

use serde_json::json;
use storeward_core::guard::Decision;
use storeward_core::shop::ShopState;
use storeward_core::time::{Clock, DAY, HOUR, MINUTE};
use storeward_store::PurgeReport;

use crate::bench::{App, Bench, batch, delivery, order, sample, sample_body};
use crate::restoring::{TABLES, restore, snapshot};
use crate::rights::only;
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

#[tokio::test(start_paused = true)]
async fn an_uninstall_told_after_the_merchant_came_back_does_not_end_the_installation() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    // Given an uninstall whose webhook is under way when the merchant installs again.
    bench.advance(HOUR).await;
    let mut late = delivery("app/uninstalled", "late", &sample_body("webhooks/app-uninstalled/plain"));
    late["headers"]["x-shopify-triggered-at"] = json!(bench.clock.now().to_rfc3339());
    bench.advance(MINUTE).await;
    assert_eq!(app.install().await.tenant, installation.tenant);
    bench.advance(MINUTE).await;
    // When it arrives, then it is refused.
    let (_, body) = app.post("webhooks/app-uninstalled", late).await;
    assert_eq!(body, json!({"outcome": "refused", "because": "before_installation"}));
    let state = app.store().await.state_of(&installation.tenant).await.unwrap();
    assert_eq!(state, Some(ShopState::Installed));
}

#[tokio::test(start_paused = true)]
async fn a_purge_waits_for_whatever_began_before_the_uninstall() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.order("a", &order(1, 1)).await;
    bench.drain(&app).await;
    // When the uninstall is followed by shop/redact at once.
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    app.post("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    bench.drain(&app).await;
    // Then the purge comes when no order can be about to be written any more, and not before.
    assert_eq!(bench.items("order").len(), 1);
    bench.advance(MINUTE * 16).await;
    bench.drain(&app).await;
    assert_eq!(bench.left_of(&installation.tenant), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_due_row_ends_also_when_its_delivery_was_forgotten() {
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    app.order("a", &order(1, 1)).await;
    // Given work that nobody gets to for longer than the delivery is remembered.
    bench.advance(Duration::from_hours(7 * 24 + 1)).await;
    assert_eq!(bench.items("delivery").len(), 0);
    // When it is done at last.
    bench.drain(&app).await;
    // Then the sweep has nothing to send again.
    assert!(bench.items("due").iter().all(|item| item["sk"]["S"] == "cursor"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_a_purge_leaves_nothing_behind() {
    // Given an uninstalled shop whose purge has begun and was stopped right after.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    // With something to delete: a purge that finds nothing needs no time.
    app.order("a", &order(1, 1)).await;
    bench.drain(&app).await;
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    bench.advance(HOUR * 36).await;
    let stopped = app.store().await.purge(&installation.tenant, "test", &|| false).await.unwrap();
    assert_eq!(stopped, PurgeReport::Unfinished);
    // When a customer of it is to be erased.
    let before = bench.dump();
    let (status, body) =
        app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    // Then the request is not written behind the purge's back: the purge erases the customer with everything else.
    assert_eq!((status, &body["outcome"]), (200, &json!("nothing_to_do")));
    assert_eq!(bench.dump(), before);
}

#[tokio::test(start_paused = true)]
async fn an_erasure_that_ends_anywhere_leaves_no_row_under_what_the_request_did_not_name() {
    // Given a person known by an address, a phone and an account, of whom there are an order, an exception and an export.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    two_alike(&bench, &app).await;
    let case = app.cases(&installation).await.remove(0).reference;
    app.store().await.decide(&installation, &case, Decision::NeverThisCustomer, None).await.unwrap();
    app.post("webhooks/customers-data-request", sample("webhooks/customers-data-request/by-id")).await;
    bench.drain(&app).await;
    // And a request to erase them that names the address alone.
    let mut request = sample_body("webhooks/customers-redact/by-id");
    request["customer"] = json!({ "email": request["customer"]["email"] });
    request["orders_to_redact"] = json!([]);
    app.post("webhooks/customers-redact", delivery("customers/redact", "redact", &request)).await;
    let left = || ["order", "exception", "export", "subject"].map(|kind| bench.items(kind).len());
    let [orders, exceptions, exports, subjects] = left();
    assert!(orders == 2 && exceptions > 0 && exports > 0 && subjects > 6);
    wherever_redacting_ends(&bench, &app, |at| {
        assert_eq!(left(), [0; 4], "died at {at}: {:?}", bench.items("subject"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_names_an_order_is_found_in_its_case_when_the_order_has_come_to_its_own_end() {
    // Given a case whose orders are gone: it is kept for longer.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    two_alike(&bench, &app).await;
    bench.advance(DAY * 61).await;
    assert!(bench.items("order").is_empty() && bench.items("case")[0].get("sealed").is_some());
    // When someone who is known by the number of one of them alone asks what is stored.
    let mut access = sample_body("webhooks/customers-data-request/by-id");
    access["customer"] = json!({ "id": 4_711, "email": "nobody@example.com" });
    // It may stand there twice.
    access["orders_requested"] = json!([2, 2]);
    app.post("webhooks/customers-data-request", delivery("customers/data_request", "access", &access)).await;
    bench.drain(&app).await;
    // Then the case is in the export.
    let reference = only(&bench, "export");
    let export = app.store().await.export(&installation, &reference).await.unwrap().unwrap();
    let document = export.document().expose().to_string();
    assert!(document.contains("\"#2\"") && !document.contains("\"#1\""), "{document}");
    // And when they are to be erased and the job dies at one of its requests, then the next one leaves nothing of the case.
    let mut request = sample_body("webhooks/customers-redact/by-id");
    request["customer"] = access["customer"].clone();
    request["orders_to_redact"] = json!([2]);
    app.post("webhooks/customers-redact", delivery("customers/redact", "redact", &request)).await;
    wherever_redacting_ends(&bench, &app, |at| {
        let phases: Vec<_> = bench.items("case").into_iter().map(|case| case["phase"]["S"].clone()).collect();
        assert_eq!(phases, ["anonymised"], "died at {at}");
        assert_eq!(bench.items("subject"), Vec::<serde_json::Value>::new(), "died at {at}");
    })
    .await;
}

/// Two orders of one person, one after the other: a case.
async fn two_alike(bench: &Bench, app: &App) {
    for id in 1..=2 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
        bench.drain(app).await;
    }
}

/// Ends the job of the erasure that waits after each of its requests, and looks when the next one has done the rest.
async fn wherever_redacting_ends(bench: &Bench, app: &App, look: impl Fn(usize)) {
    let before = snapshot(bench);
    let messages = bench.receive("storeward-development-redact-subject").await;
    assert_eq!(messages.len(), 1);
    for at in 0.. {
        restore(bench, &before, &TABLES);
        let dying = bench.app_through(bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let job = dying.invoke("jobs/redact-subject", batch(&messages));
        let ended = dying.connector.run(job).await;
        app.invoke("jobs/redact-subject", batch(&messages)).await.unwrap();
        look(at);
        if ended != Outcome::Crashed {
            break;
        }
    }
}
