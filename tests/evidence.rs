//! What the reports over the ledger table make of a life: receipts that hold, and who read personal data.

use serde_json::{Value, json};
use storeward_core::access_review::review;
use storeward_core::disclosure::{policy, posture};
use storeward_core::report::Format;
use storeward_local::commands::evidence::{accesses, evidence};

use crate::bench::{Bench, order, sample};

#[tokio::test(start_paused = true)]
async fn receipts_are_counted_and_checked_and_every_read_of_personal_data_is_in_the_review() {
    // Given a shop whose owner reads cases, and a customer who is erased
    let bench = Bench::new().await;
    let app = bench.app();
    let shop = app.install().await;
    app.store().await.member_opened(&shop, "42").await.unwrap();
    for id in 1..=2 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
    }
    bench.drain(&app).await;
    let mut event = sample("api/cases/list");
    let actor = app.store().await.actor(&shop.tenant.shop, "42");
    event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": shop.tenant.shop, "actor": actor });
    for _ in 0..3 {
        assert_eq!(app.invoke("api/cases", event.clone()).await.unwrap()["statusCode"], 200);
    }
    app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    bench.drain(&app).await;
    bench.live(&app, 2).await;

    // When the table is read
    let items: Vec<Value> = bench.dump().into_values().flatten().collect();
    let year = evidence(&items, "2026-01-01", "2026-12-31").unwrap();
    let log = accesses(&items).unwrap();

    // Then the receipt is there and holds, and the reads are
    assert_eq!((year.receipts, year.receipts_that_hold), (1, 1), "{year:?}");
    assert_eq!(year.events["installed"], 1);
    let reads = log.iter().filter(|access| access.route == "GET /v1/cases" && access.status == 200);
    assert_eq!(reads.count(), 3, "{log:?}");
    assert!(log.iter().all(|access| access.shop == shop.tenant.shop.as_str()));
    let report = review(&log, "2026-11").write(Format::Json);
    assert!(report.contains("GET /v1/cases"), "{report}");

    // And a receipt that was touched does not hold any more
    let mut touched = items;
    for item in &mut touched {
        let Some(text) = item["entry"]["S"].as_str().filter(|text| text.contains("\"receipt\"")) else {
            continue;
        };
        let mut entry: Value = serde_json::from_str(text).unwrap();
        entry["receipt"]["digest"] = json!("0".repeat(64));
        item["entry"]["S"] = json!(entry.to_string());
    }
    let year = evidence(&touched, "2026-01-01", "2026-12-31").unwrap();
    assert_eq!((year.receipts, year.receipts_that_hold), (1, 0));
    assert_eq!(evidence(&touched, "2027-01-01", "2027-12-31").unwrap().receipts, 0, "of the year alone");

    // And nothing of the customer is in any report
    for report in [review(&log, "2026-11"), posture(&year, "2026-01-01", "2026-12-31"), policy()] {
        for format in [Format::Markdown, Format::Html, Format::Json] {
            assert!(!report.write(format).contains("example.com"), "{}", report.title);
        }
    }
}
