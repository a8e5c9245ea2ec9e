//! What people can ask for besides erasure: that their account is put right, and what is stored about them.

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::guard::Decision;
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_core::rights::{Refusal, RightsState};
use storeward_core::time::{Clock as _, DAY, MINUTE};
use storeward_host::Invocation;
use storeward_store::{ExportState, Installation, RecordRef, What};

use crate::bench::{App, Bench, delivery, order, sample, sample_body};

/// The only record of a kind that is no part of another.
pub(crate) fn only(bench: &Bench, kind: &str) -> RecordRef {
    let items: Vec<Value> =
        bench.items(kind).into_iter().filter(|item| item["phase"]["S"] != "part").collect();
    assert_eq!(items.len(), 1, "{kind}: {items:?}");
    format!("{kind}/{}", items[0]["sk"]["S"].as_str().unwrap()).parse().unwrap()
}

async fn entries(bench: &Bench, app: &App, installation: &Installation, what: What) -> Vec<u64> {
    let today = storeward_core::time::Clock::now(&bench.clock);
    let entries = app.store().await.ledger_of(&installation.tenant.shop, today).await.unwrap();
    entries
        .into_iter()
        .filter(|entry| entry.what == what)
        .map(|entry| entry.counts.get("order").copied().unwrap_or_default())
        .collect()
}

fn account(minutes: u32, email: &str) -> Value {
    let mut account = sample_body("webhooks/customers-update/new-email");
    let at = storeward_core::time::Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap();
    account["updated_at"] = json!((at + MINUTE * minutes).to_rfc3339());
    account["email"] = json!(email);
    account
}

async fn emails(app: &App, bench: &Bench, installation: &Installation) -> Vec<String> {
    let mut emails = Vec::new();
    for item in bench.items("order") {
        let reference = format!("order/{}", item["sk"]["S"].as_str().unwrap()).parse().unwrap();
        let record = app.store().await.order(installation, &reference).await.unwrap().unwrap();
        emails.extend(
            record.order.customer.and_then(|customer| customer.email).map(|email| email.expose().clone()),
        );
    }
    emails.sort();
    emails
}

#[tokio::test(start_paused = true)]
async fn a_changed_account_is_rectified_in_every_order_and_nothing_older_undoes_it() {
    // Given a case of two orders of a customer, and someone else's order.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    bench.two_orders(&app).await;
    let mut other = order(3, 0);
    other["customer"] = json!({"id": 77, "email": "someone.else@example.com", "phone": null});
    for field in ["billing_address", "shipping_address", "phone", "contact_email", "email"] {
        other[field] = json!(null);
    }
    app.order("w3", &other).await;
    bench.drain(&app).await;
    // When the customer's account changes.
    let change = |id: &str, body: &Value| delivery("customers/update", id, body);
    let new = account(30, "new.account@example.com");
    assert_eq!(app.post("webhooks/customers-update", change("u1", &new)).await.1["outcome"], "accepted");
    bench.drain(&app).await;
    // Then both orders say so, the other does not, and it is in the ledger with its count.
    let right = ["new.account@example.com", "new.account@example.com", "someone.else@example.com"];
    assert_eq!(emails(&app, &bench, &installation).await, right);
    assert_eq!(entries(&bench, &app, &installation, What::SubjectRectified).await, [2]);
    // What was before, told late, undoes nothing: an older account, an older telling of the order.
    let old = account(20, "old.account@example.com");
    app.post("webhooks/customers-update", change("u0", &old)).await;
    bench.drain(&app).await;
    let mut told = order(1, 1);
    told["updated_at"] = json!("2026-11-20T15:10:00Z");
    told["total_price"] = json!("1.00");
    app.post("webhooks/orders-updated", delivery("orders/updated", "w4", &told)).await;
    bench.drain(&app).await;
    assert_eq!(emails(&app, &bench, &installation).await, right);
    // Again is nothing, nobody's account is not even stored, and nothing of the accounts stays behind.
    assert_eq!(app.post("webhooks/customers-update", change("u1", &new)).await.1["outcome"], "duplicate");
    bench.drain(&app).await;
    let mut nobody = account(40, "nobody@example.com");
    nobody["id"] = json!(4_711);
    nobody["admin_graphql_api_id"] = json!("gid://shopify/Customer/4711");
    let outcome = app.post("webhooks/customers-update", change("u2", &nobody)).await.1["outcome"].clone();
    assert_eq!(outcome, "nothing_to_do");
    assert!(bench.items("rectification").iter().all(|item| item["sealed"].is_null()));
    assert_eq!((bench.items("due").len(), bench.messages().await), (0, 0));
    // And who is erased under the new address is erased in the case too.
    let mut request = sample_body("webhooks/customers-redact/email-only");
    request["customer"]["email"] = json!("new.account@example.com");
    request["orders_to_redact"] = json!([]);
    app.post("webhooks/customers-redact", delivery("customers/redact", "r", &request)).await;
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rectification_that_runs_out_of_time_goes_on_and_counts_each_order_once() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for id in 1..=3 {
        app.order(&format!("w{id}"), &order(id, 1)).await;
    }
    bench.drain(&app).await;
    let event = delivery("customers/update", "u", &account(30, "new.account@example.com"));
    app.post("webhooks/customers-update", event).await;
    // Given a run without time.
    let queue = "storeward-development-rectify-subject";
    let messages = bench.receive(queue).await;
    let function = bootstrap::function("jobs/rectify-subject").unwrap();
    let deadline = storeward_core::time::Clock::now(&bench.clock);
    let invocation = Invocation { event: crate::bench::batch(&messages), deadline };
    function.invoke(app.context(function.name), invocation).await.unwrap();
    bench.delete(queue, &messages[0]).await;
    assert!(entries(&bench, &app, &installation, What::SubjectRectified).await.is_empty());
    // Then the next one comes to the end.
    assert_eq!(bench.drain(&app).await, 1);
    assert_eq!(entries(&bench, &app, &installation, What::SubjectRectified).await, [3]);
    assert_eq!(emails(&app, &bench, &installation).await, ["new.account@example.com"; 3]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_gets_everything_that_is_stored_also_after_an_uninstall() {
    // Given a case of two orders of one person, who is not to be flagged again, another person's order, and an erasure
    // under way for the first.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    bench.two_orders(&app).await;
    let mut other = order(3, 0);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        other[field] = json!(null);
    }
    other["email"] = json!("someone.else@example.com");
    app.order("w3", &other).await;
    bench.drain(&app).await;
    let case = app.cases(&installation).await.remove(0).reference;
    app.store().await.decide(&installation, &case, Decision::NeverThisCustomer, None).await.unwrap();
    assert!(!bench.items("exception").is_empty());
    let now = bench.clock.now();
    let writer = "sample.customer@example.com";
    Box::pin(crate::mail_store::whole_desk_of(app.store().await, &installation, now, writer)).await;
    // All of which may not be used at present.
    let email = "sample.customer@example.com".to_owned().into();
    let (person, by) = (identifiers(&[&email], &[], None), "request/0123456789abcdef0123456789abcdef");
    let by = by.parse().unwrap();
    app.store().await.limit_subject(&installation, &person, Limit::Restricted, &by).await.unwrap();
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    // When the person asks, and the request is worked on before the erasure.
    let (status, answer) =
        app.post("webhooks/customers-data-request", sample("webhooks/customers-data-request/by-id")).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("accepted")));
    let messages = bench.receive("storeward-development-export-subject").await;
    app.invoke("jobs/export-subject", crate::bench::batch(&messages)).await.unwrap();
    bench.delete("storeward-development-export-subject", &messages[0]).await;
    // Then the export shows both orders, their case and both requests, each kind that the data map says is exported.
    let reference = only(&bench, "export");
    let export = app.store().await.export(&installation, &reference).await.unwrap().unwrap();
    assert_eq!(export.state, ExportState::Ready);
    let kinds: Vec<&str> = export.records.iter().map(|record| record.kind.as_str()).collect();
    let exceptions = bench.items("exception").len();
    let expected = [
        &["order", "order", "case"],
        &vec!["exception"; exceptions][..],
        &["request", "request", "limit", "thread", "mail", "draft"],
    ]
    .concat();
    assert_eq!(kinds, expected);
    let labelled = export.records.iter().filter(|record| record.data.expose()["label"].is_string()).count();
    assert_eq!(labelled, exceptions, "each is about this person alone");
    let mapped: Vec<&str> =
        Kind::ALL.iter().filter(|kind| kind.row().exported).map(|kind| kind.name()).collect();
    assert!(mapped.iter().all(|kind| kinds.contains(kind)), "{mapped:?}");
    let text = export.document().expose().to_string();
    for said in
        ["sample.customer@example.com", "+12025550143", "1 Example Street", "55.88", "#1", "same_email"]
    {
        assert!(text.contains(said), "{said} is missing in {text}");
    }
    assert!(!text.contains("someone.else"), "{text}");
    assert_eq!(entries(&bench, &app, &installation, What::SubjectExported).await, [2]);
    // And nothing of it stands in the clear, and the erasure takes the export along.
    assert!(bench.items("export").iter().all(|item| !item.to_string().contains("example.com")));
    bench.drain(&app).await;
    assert_eq!((bench.items("export").len(), bench.items("exception").len()), (0, 0));
    assert!(app.store().await.export(&installation, &reference).await.unwrap().is_none());
    assert_eq!(bench.items("subject").len(), bench.items("order").len(), "the other's alone");
}

#[tokio::test(start_paused = true)]
async fn an_export_is_warned_of_until_it_was_given_and_ends_with_its_window() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for (id, wanted) in [("by-id", true), ("email-only", false)] {
        app.post("webhooks/customers-data-request", sample(&format!("webhooks/customers-data-request/{id}")))
            .await;
        bench.drain(&app).await;
        if wanted {
            let reference = only(&bench, "export");
            assert!(app.store().await.export_delivered(&installation, &reference).await.unwrap());
            assert!(!app.store().await.export_delivered(&installation, &reference).await.unwrap(), "once");
        }
    }
    let waiting: Vec<RecordRef> = bench
        .items("export")
        .iter()
        .filter(|item| item["phase"]["S"] == "ready")
        .map(|item| format!("export/{}", item["sk"]["S"].as_str().unwrap()).parse().unwrap())
        .collect();
    let [waiting] = &waiting[..] else { panic!("{waiting:?}") };
    let request = format!("request/{}", waiting.id()).parse().unwrap();
    // When a week is left, when three days are left and when none is, the sweep tells of the one that waits.
    let watched = || bench.items("due").into_iter().filter(|item| item["what"]["S"] == "request-due").count();
    assert_eq!(watched(), 1);
    bench.advance(DAY * 22).await;
    let mut warned = Vec::new();
    for _ in 0..10 {
        bench.advance(DAY).await;
        app.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
        warned.push(entries(&bench, &app, &installation, What::RequestWarned).await.len());
    }
    assert_eq!(warned, [1, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    // Then it is over, and says so; nothing of the person is left.
    let asked = app.store().await.asked(&installation.tenant, &request).await.unwrap().unwrap();
    assert_eq!((asked.state, asked.because), (RightsState::Refused, Some(Refusal::NotFetched)));
    assert_eq!((watched(), bench.items("export").len(), bench.items("subject").len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_should_send_are_refused_and_leave_nothing() {
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    app.order("w1", &order(1, 1)).await;
    bench.drain(&app).await;
    let before = bench.dump();
    let redaction = sample_body("webhooks/customers-redact/by-id");
    let mut elsewhere = sample_body("webhooks/customers-data-request/by-id");
    elsewhere["shop_domain"] = json!("another-shop.myshopify.com");
    let mut another_number = sample_body("webhooks/customers-data-request/by-id");
    another_number["shop_id"] = json!(1);
    for (function, topic, body) in [
        ("webhooks/customers-data-request", "customers/data_request", &redaction),
        ("webhooks/customers-data-request", "customers/data_request", &elsewhere),
        ("webhooks/customers-data-request", "customers/data_request", &another_number),
        ("webhooks/customers-update", "customers/update", &order(1, 1)),
        ("webhooks/customers-update", "customers/update", &redaction),
    ] {
        let (status, problem) = app.post(function, delivery(topic, "bad", body)).await;
        assert_eq!(status, 400, "{problem}");
    }
    assert_eq!(bench.dump(), before);
    // Nulls wherever they can be.
    let mut request = sample_body("webhooks/customers-data-request/by-id");
    request["customer"] = json!({"id": null, "email": null, "phone": null});
    request["orders_requested"] = json!([9_007_199_254_740_993_u64]);
    let event = delivery("customers/data_request", "nulls-1", &request);
    assert_eq!(app.post("webhooks/customers-data-request", event).await.0, 200);
    let mut account = sample_body("webhooks/customers-update/new-email");
    for (name, value) in account.as_object_mut().unwrap() {
        if !["id", "admin_graphql_api_id", "updated_at"].contains(&name.as_str()) {
            *value = json!(null);
        }
    }
    let event = delivery("customers/update", "nulls-2", &account);
    assert_eq!(app.post("webhooks/customers-update", event).await.0, 200);
    bench.drain(&app).await;
    assert_eq!(bench.messages().await, 0);
}
