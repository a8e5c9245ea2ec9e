//! The ledger and the access log as a shop's staff read them: each entry once, of this installation alone, the receipts whole, and
//! whoever reads about the staff is in the log as well.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use storeward_core::members::Members;
use storeward_core::receipt::Receipt;
use storeward_core::roles::Role;
use storeward_core::time::{Clock, DAY, HOUR, MINUTE};
use storeward_store::{Installation, What};

use crate::bench::{App, Bench, order, sample};

/// The route of a sample, as its owner asks it unless `change` says otherwise.
async fn ask(app: &App, shop: &Installation, name: &str, change: impl FnOnce(&mut Value)) -> (u64, Value) {
    let mut event = sample(name);
    let store = app.store().await;
    let actor = store.actor(&shop.tenant.shop, "42");
    event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": shop.tenant.shop, "actor": actor });
    change(&mut event);
    let function = name.rsplit_once('/').unwrap().0;
    let answer = app.invoke(function, event).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), body)
}

const LEDGER: &str = "api/service/ledger";
const ACCESSES: &str = "api/service/access-log";

fn asking(parameters: Value) -> impl FnOnce(&mut Value) {
    move |event| event["queryStringParameters"] = parameters
}

/// All pages of a log, `limit` entries each at most. Between them `meanwhile` happens.
async fn pages(
    app: &App,
    shop: &Installation,
    name: &str,
    limit: usize,
    meanwhile: impl AsyncFn(),
) -> Vec<Value> {
    let (mut entries, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut parameters = json!({ "limit": limit.to_string() });
        if let Some(cursor) = cursor {
            parameters["cursor"] = json!(cursor);
        }
        let (status, page) = ask(app, shop, name, asking(parameters)).await;
        assert_eq!(status, 200, "{page}");
        let read = page["entries"].as_array().unwrap();
        assert!(read.len() <= limit);
        entries.extend(read.iter().cloned());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return entries;
        }
        meanwhile().await;
    }
}

/// A shop whose owner is number 42, and another one; in both, orders and a case on each of three days.
async fn busy() -> (Bench, App, Installation, Installation) {
    let bench = Bench::new().await;
    let app = bench.app();
    let shop = app.install().await;
    let other = app.install_in("other.myshopify.com").await;
    bench.advance(MINUTE).await;
    for installation in [&shop, &other] {
        app.store().await.member_opened(installation, "42").await.unwrap();
    }
    for day in 1..=3 {
        app.order(&format!("a{day}"), &order(day * 10, 0)).await;
        app.order(&format!("b{day}"), &order(day * 10 + 1, 5)).await;
        bench.drain(&app).await;
        app.store()
            .await
            .note(&other.tenant.shop, None, What::ShopRedactConfirmed, "another shop's")
            .await
            .unwrap();
        bench.advance(DAY).await;
    }
    (bench, app, shop, other)
}

/// What identifies an entry of an answer here: when and what.
fn named(entry: &Value) -> (String, String) {
    (entry["at"].as_str().unwrap().to_owned(), entry["what"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn given_days_of_changes_when_the_owner_pages_through_the_ledger_then_each_entry_is_there_once_and_nobody_elses()
 {
    let (bench, app, shop, other) = busy().await;
    let store = app.store().await;
    let mut expected = Vec::new();
    for day in 0..=3 {
        let entries = store.ledger_of(&shop.tenant.shop, bench.clock.now() - DAY * day).await.unwrap();
        expected.extend(entries.into_iter().rev().map(|entry| json!(entry)));
    }
    assert!(expected.len() >= 5, "{}", expected.len());
    for limit in [1, 2, 100] {
        // When more is written while the pages are read
        let more = async || store.note(&shop.tenant.shop, None, What::Refused, "meanwhile").await.unwrap();
        let read = pages(&app, &shop, LEDGER, limit, more).await;
        // Then it does not get between them, and what was there is there once, the latest first
        let before: Vec<&Value> = read.iter().filter(|entry| entry["why"] != "meanwhile").collect();
        let told = before.iter().map(|entry| named(entry)).collect::<Vec<_>>();
        let written = expected.iter().map(|entry| {
            let at = storeward_core::time::Timestamp(entry["at"].as_i64().unwrap());
            (at.to_rfc3339(), entry["what"].as_str().unwrap().to_owned())
        });
        assert_eq!(told, written.collect::<Vec<_>>());
        // And it says who did it, and of whom nothing
        assert!(before.iter().all(|entry| entry["by"]["kind"].is_string()), "{before:?}");
        assert!(before.iter().all(|entry| entry["why"] != "another shop's"));
        let formed = before.iter().find(|entry| entry["what"] == "case-formed").unwrap();
        assert_eq!(formed["by"], json!({ "kind": "system", "id": "jobs/match-order" }));
        bench.advance(MINUTE).await;
    }
    let theirs = pages(&app, &other, LEDGER, 2, async || {}).await;
    assert!(theirs.iter().any(|entry| entry["why"] == "another shop's"), "{theirs:?}");
    assert!(theirs.iter().all(|entry| entry["what"] != "case-formed"), "{theirs:?}");
}

#[tokio::test]
async fn given_a_time_when_the_ledger_is_asked_for_it_then_nothing_else_is_told_and_what_is_no_cursor_is_refused()
 {
    let (bench, app, shop, _) = busy().await;
    let day = (bench.clock.now() - DAY * 2).day();
    let of =
        json!({ "since": format!("{day}T00:00:00Z"), "until": format!("{day}T23:59:59Z"), "limit": "100" });
    let (status, page) = ask(&app, &shop, LEDGER, asking(of)).await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!((status, &page["next"]), (200, &Value::Null));
    assert!(
        !entries.is_empty() && entries.iter().all(|entry| entry["at"].as_str().unwrap().starts_with(&day))
    );
    let future = json!({ "since": "2099-01-01T00:00:00Z" });
    assert_eq!(ask(&app, &shop, LEDGER, asking(future)).await.1, json!({ "entries": [], "next": null }));
    for log in [LEDGER, ACCESSES] {
        for hostile in ["", "x", "é", "000001795190400000", &format!("{}-{}", "0".repeat(15), "g".repeat(32))]
        {
            let (status, said) = ask(&app, &shop, log, asking(json!({ "cursor": hostile }))).await;
            assert_eq!(
                (status, &said["type"]),
                (400, &json!("urn:storeward:problem:invalid-parameter")),
                "{hostile}"
            );
        }
        for (name, wrong) in [("since", "yesterday"), ("limit", "101"), ("shop", "other")] {
            assert_eq!(ask(&app, &shop, log, asking(json!({ name: wrong }))).await.0, 400, "{name}");
        }
    }
}

#[tokio::test]
async fn given_a_long_quiet_time_when_the_ledger_is_asked_then_short_pages_lead_through_it_to_the_beginning()
{
    let (bench, app, shop, _) = busy().await;
    bench.advance(DAY * 400).await;
    app.store().await.note(&shop.tenant.shop, None, What::Refused, "the latest").await.unwrap();
    let (_, first) = ask(&app, &shop, LEDGER, |_| {}).await;
    assert_eq!((first["entries"].as_array().unwrap().len(), first["next"].is_string()), (1, true));
    let all = pages(&app, &shop, LEDGER, 100, async || {}).await;
    let whats: Vec<_> = all.iter().map(|entry| named(entry).1).collect();
    assert_eq!((whats.first().unwrap().as_str(), whats.last().unwrap().as_str()), ("refused", "installed"));
    assert_eq!(whats.iter().filter(|what| *what == "installed").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn given_an_erased_customer_when_the_owner_reads_the_ledger_then_the_receipt_is_whole() {
    let bench = Bench::new().await;
    let app = bench.app();
    let shop = app.install().await;
    app.store().await.member_opened(&shop, "42").await.unwrap();
    app.order("w1", &order(1, 1)).await;
    bench.drain(&app).await;
    app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    bench.drain(&app).await;
    bench.advance(HOUR).await;
    bench.drain(&app).await;
    let all = pages(&app, &shop, LEDGER, 3, async || {}).await;
    let entry = all.iter().find(|entry| entry["what"] == "subject-erasure-verified").expect("a receipt");
    let receipt: Receipt = serde_json::from_value(entry["receipt"].clone()).unwrap();
    assert_eq!(receipt.verify(), Ok(()));
    assert_eq!(entry["counts"], entry["receipt"]["counts"]);
    let mut forged = entry["receipt"].clone();
    forged["counts"]["order"] = json!(2);
    let forged: Receipt = serde_json::from_value(forged).unwrap();
    assert!(forged.verify().is_err());
    // What else they left is gone from every answer.
    assert!(!json!(all).to_string().contains("example.com"));
}

#[tokio::test]
async fn given_an_earlier_installation_when_the_later_ones_owner_reads_then_nothing_of_it_is_told() {
    let (bench, app, shop, _) = busy().await;
    let cases = ask(&app, &shop, "api/cases/list", |_| {}).await;
    assert_eq!(cases.0, 200);
    let store = app.store().await;
    store.uninstall(&shop, "the earlier one's").await.unwrap();
    bench.advance(HOUR).await;
    let again = app.install().await;
    store.member_opened(&again, "42").await.unwrap();
    // Given what belongs to the earlier one and is written after the later one began
    bench.advance(HOUR * 48).await;
    bench.live(&app, 2).await;
    let entries = store.ledger_of(&again.tenant.shop, bench.clock.now()).await.unwrap();
    let purged = |entry: &storeward_store::Entry| {
        entry.what == What::ShopPurged && entry.generation == Some(shop.tenant.generation)
    };
    assert!(entries.iter().any(purged), "the earlier installation was purged meanwhile: {entries:?}");
    // When the owner reads, then it begins with the later one
    assert_eq!(pages(&app, &again, ACCESSES, 2, async || {}).await, Vec::<Value>::new());
    let read = pages(&app, &again, LEDGER, 2, async || {}).await;
    let whats: BTreeSet<String> = read.iter().map(|entry| named(entry).1).collect();
    assert!(
        whats.contains("installed") && !whats.contains("shop-purged") && !whats.contains("uninstalled"),
        "{whats:?}"
    );
    let generation = json!(again.tenant.generation);
    assert!(read.iter().all(|entry| entry["generation"] == generation || entry["generation"].is_null()));
}

#[tokio::test]
async fn given_reads_of_personal_data_when_the_access_log_is_asked_then_each_stands_there_with_who_and_in_which_role()
 {
    let (bench, app, shop, other) = busy().await;
    let store = app.store().await;
    // Given an agent beside the owner
    store.member_opened(&shop, "43").await.unwrap();
    let agent = store.actor(&shop.tenant.shop, "43");
    let give = |members: &mut Members| members.set_role(&agent, Role::Agent);
    store.change_members(&shop, What::RoleChanged, "test", give).await.unwrap();
    let as_agent = |event: &mut Value| {
        event["requestContext"]["authorizer"]["lambda"]["actor"] = json!(agent);
        event["requestContext"]["http"]["sourceIp"] = json!("203.0.113.7");
    };
    // When the agent reads cases, and is refused both logs
    assert_eq!(ask(&app, &shop, "api/cases/list", as_agent).await.0, 200);
    for (log, route) in [(LEDGER, "GET /v1/ledger"), (ACCESSES, "GET /v1/access-log")] {
        bench.advance(MINUTE).await;
        let (status, said) = ask(&app, &shop, log, as_agent).await;
        assert_eq!((status, &said["type"]), (403, &json!("urn:storeward:problem:forbidden")), "{route}");
        assert!(said["detail"].as_str().unwrap().contains("view-ledger"));
    }
    // And the owner reads the ledger, which says who of the staff did what
    bench.advance(MINUTE).await;
    assert_eq!(ask(&app, &shop, LEDGER, |_| {}).await.0, 200);
    bench.advance(MINUTE).await;
    // Then the owner is told, and telling it is itself an access
    let told = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (
            text("route"),
            entry["status"].as_u64().unwrap(),
            text("role"),
            entry["by"]["id"].as_str().unwrap().to_owned(),
        )
    };
    let owner = store.actor(&shop.tenant.shop, "42");
    let row = |route: &str, status: u64, role: &str, id: &str| {
        (route.to_owned(), status, role.to_owned(), id.to_owned())
    };
    let mut expected = vec![
        row("GET /v1/ledger", 200, "owner", &owner),
        row("GET /v1/access-log", 403, "agent", &agent),
        row("GET /v1/ledger", 403, "agent", &agent),
        row("GET /v1/cases", 200, "agent", &agent),
    ];
    let (_, first) = ask(&app, &shop, ACCESSES, |_| {}).await;
    assert_eq!(first["entries"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), expected);
    bench.advance(MINUTE).await;
    // Page by page each is there once, though each page is one more access
    let read = pages(&app, &shop, ACCESSES, 1, async || bench.advance(MINUTE).await).await;
    expected.insert(0, row("GET /v1/access-log", 200, "owner", &owner));
    assert_eq!(read.iter().map(told).collect::<Vec<_>>(), expected);
    let ip = read[2]["ip"].as_str().unwrap();
    assert!(ip.len() == 64 && ip == read[4]["ip"].as_str().unwrap(), "hashed, and the same on one day: {ip}");
    assert!(!json!(read).to_string().contains("203.0.113"));
    // Another shop's log has none of it
    assert_eq!(pages(&app, &other, ACCESSES, 2, async || {}).await, Vec::<Value>::new());
    // And after 90 days nobody's has
    bench.advance(DAY * 91).await;
    let (status, late) = ask(&app, &shop, ACCESSES, |_| {}).await;
    assert_eq!((status, &late["entries"], &late["next"]), (200, &json!([]), &Value::Null));
}

/// What somebody of the operator's security asks for a shop.
async fn security(app: &App, shop: &Installation, name: &str, parameters: Value) -> (u64, Value) {
    let asking = |event: &mut Value| {
        event["pathParameters"]["shop"] = json!(shop.tenant.shop);
        event["requestContext"]["authorizer"]["lambda"] = json!({ "operator": "0b5e", "role": "security" });
        event["queryStringParameters"] = parameters;
    };
    ask(app, shop, &format!("operator/shops/{name}"), asking).await
}

#[tokio::test]
async fn given_two_installations_when_an_operator_reads_the_ledger_then_both_are_told_and_no_other_shop() {
    let (bench, app, shop, _) = busy().await;
    let store = app.store().await;
    store.uninstall(&shop, "test").await.unwrap();
    bench.advance(HOUR).await;
    let again = app.install().await;
    bench.advance(HOUR).await;
    let (mut read, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut parameters = json!({ "limit": "2" });
        if let Some(cursor) = cursor {
            parameters["cursor"] = json!(cursor);
        }
        let (status, page) = security(&app, &shop, "ledger", parameters).await;
        assert_eq!(status, 200, "{page}");
        read.extend(page["entries"].as_array().unwrap().iter().cloned());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let installed = read.iter().filter(|entry| entry["what"] == "installed");
    let generations: Vec<&Value> = installed.map(|entry| &entry["generation"]).collect();
    assert_eq!(generations, [&json!(again.tenant.generation), &json!(shop.tenant.generation)]);
    assert!(read.iter().all(|entry| entry["why"] != "another shop's"));
    // What is longer ago than the access log goes back is told when it is asked for
    bench.advance(DAY * 100).await;
    let (_, lately) = security(&app, &shop, "ledger", json!({})).await;
    assert_eq!(lately["entries"], json!([]));
    let (_, before) =
        security(&app, &shop, "ledger", json!({ "since": "2026-11-01T00:00:00Z", "limit": "100" })).await;
    let more = before["next"]
        .as_str()
        .map(|next| json!({ "since": "2026-11-01T00:00:00Z", "limit": "100", "cursor": next }));
    let (_, rest) = security(&app, &shop, "ledger", more.expect("92 days are looked at once")).await;
    let found = before["entries"].as_array().unwrap().len() + rest["entries"].as_array().unwrap().len();
    assert_eq!(found, read.len());
    for wrong in [json!({ "cursor": "x" }), json!({ "limit": "0" }), json!({ "month": "2026-11" })] {
        assert_eq!(security(&app, &shop, "ledger", wrong).await.0, 400);
    }
}

#[tokio::test]
async fn given_a_month_of_reads_when_an_operator_reviews_it_then_the_unusual_is_told_and_the_merchant_learns_who_looked()
 {
    let (bench, app, shop, other) = busy().await;
    for _ in 0..10 {
        let nobody =
            |event: &mut Value| event["requestContext"]["authorizer"]["lambda"]["actor"] = json!("5747");
        assert_eq!(ask(&app, &shop, ACCESSES, nobody).await.0, 403);
    }
    assert_eq!(ask(&app, &shop, "api/cases/list", |_| {}).await.0, 200);
    bench.advance(MINUTE).await;
    let november = json!({ "month": "2026-11" });
    let (status, report) = security(&app, &shop, "access-review", november.clone()).await;
    assert_eq!(status, 200, "{report}");
    let rows =
        |report: &Value, section: &str| report["sections"][section]["rows"].as_array().unwrap().clone();
    assert_eq!(
        rows(&report, "findings"),
        [json!({ "shop": shop.tenant.shop, "who": "merchant 5747", "what": "refused 10 times" })]
    );
    assert_eq!(
        rows(&report, "routes"),
        [
            json!({ "route": "GET /v1/access-log", "accesses": "10", "of_these_refused": "10" }),
            json!({ "route": "GET /v1/cases", "accesses": "1", "of_these_refused": "0" }),
        ]
    );
    // This month is the one where none is said; the review is a read by an operator, and asked about in the next
    let (_, again) = security(&app, &shop, "access-review", json!({})).await;
    assert!(rows(&again, "findings").iter().any(|row| row["who"] == "operator 0b5e"), "{again}");
    let (_, told) = ask(&app, &shop, ACCESSES, asking(json!({ "limit": "2" }))).await;
    for entry in told["entries"].as_array().unwrap() {
        assert_eq!(entry["by"], json!({ "kind": "operator", "id": "0b5e" }));
        assert_eq!(
            (&entry["role"], &entry["route"]),
            (&json!("security"), &json!("GET /operator/v1/shops/{shop}/access-review"))
        );
    }
    // Another shop's month is its own
    assert_eq!(
        rows(&security(&app, &other, "access-review", november).await.1, "routes"),
        Vec::<Value>::new()
    );
    for wrong in ["2026-13", "november", "2026-08", "2026-12", ""] {
        let (status, said) = security(&app, &shop, "access-review", json!({ "month": wrong })).await;
        assert_eq!(
            (status, &said["type"]),
            (400, &json!("urn:storeward:problem:invalid-parameter")),
            "{wrong}"
        );
    }
    bench.advance(DAY * 100).await;
    assert_eq!(security(&app, &shop, "access-review", json!({ "month": "2026-11" })).await.0, 400);
}
