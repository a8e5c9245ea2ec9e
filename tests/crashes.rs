//! A function that ends at any of its requests, and is called again by whoever called it: the end is the same as if
//! nothing had happened, once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::time::{HOUR, MINUTE, Timestamp};
use storeward_store::What;

use crate::bench::{Bench, START, delivery, order, sample, sample_body};
use crate::support::connector::{Outcome, Recorded};
use crate::support::faults::{Fault, FaultPlan};

/// What is compared: every item without what differs from run to run (sealed with other nonces, times of retries).
fn essence(bench: &Bench) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for item in bench.dump().into_values().flatten() {
        let kind = item["kind"]["S"].as_str().unwrap().to_owned();
        let phase = item["phase"]["S"].as_str().unwrap_or("-");
        let what = item["entry"]["S"].as_str().map(|entry| {
            let entry: Value = serde_json::from_str(entry).unwrap();
            format!("{} {}", entry["what"], entry["counts"])
        });
        let case = item.get("case_id").is_some();
        let members = item["members"]["N"].as_str().unwrap_or("-");
        let standing = item["standing"]["S"].as_str().unwrap_or("-");
        let what = what.unwrap_or_default();
        let line = format!("{kind} {phase} case={case} members={members} {standing} {what}");
        *counted.entry(line).or_insert(0) += 1;
    }
    counted
}

/// A function and the event it is given.
type Step = (&'static str, fn() -> Value);

/// A history: what is delivered, and how long it is lived on after each.
struct History {
    before: &'static [Step],
    event: Step,
    hours: u32,
}

/// The faults that can make a difference at each request, as the undisturbed process made them. What a process leaves that
/// ends is what its last request left that wrote, whichever it read since: nothing here goes to anyone but the cloud. And
/// whether a read was carried out before its time-out is seen by nobody.
fn faults(requests: &[Recorded]) -> Vec<(usize, Fault)> {
    let at = |made: &Recorded| {
        let telling: &[Fault] = if made.footprint.writes() {
            &[Fault::CrashAfter, Fault::TimeoutBefore, Fault::TimeoutAfter]
        } else {
            &[Fault::TimeoutBefore]
        };
        telling.iter().map(|fault| (made.index, *fault)).collect::<Vec<_>>()
    };
    [(0, Fault::CrashBefore)].into_iter().chain(requests.iter().flat_map(at)).collect()
}

/// Plays a history; the event's function meets `fault`, and is called again as its caller would.
async fn play(
    history: &History,
    fault: Option<(usize, Fault)>,
) -> (BTreeMap<String, usize>, Vec<Recorded>, bool) {
    let bench = Bench::new().await;
    bench.app().install().await;
    let calm = bench.app();
    // A deployment that sweeps already: the first sweep of a new one reads two days, some 1,500 partitions.
    calm.store().await.due_swept(Timestamp::parse_rfc3339(START).unwrap()).await.unwrap();
    for (function, event) in history.before {
        assert_eq!(calm.post(function, event()).await.0, 200);
        bench.drain(&calm).await;
    }
    let plan = match fault {
        Some((at, fault)) => FaultPlan::none().at(at, fault),
        None => FaultPlan::none(),
    };
    let app = bench.app_through(bench.transport(), plan);
    let (function, event) = history.event;
    // The webhook, and the jobs it leads to, all in the process that fails.
    let failing = async {
        let (status, _) = app.post(function, event()).await;
        bench.drain(&app).await;
        status
    };
    let outcome = app.connector.run(failing).await;
    let requests = app.connector.requests();
    let struck = match outcome {
        Outcome::Finished(200) => false,
        Outcome::Finished(_) | Outcome::Crashed => true,
    };
    // Shopify tries again after anything but 200; the queue gives again what was not deleted.
    bench.advance(MINUTE * 31).await;
    if struck {
        assert_eq!(calm.post(function, event()).await.0, 200);
    }
    bench.drain(&calm).await;
    // The purge of an uninstalled shop comes due at 36 hours; the quiet hours before it are skipped.
    if function == "webhooks/app-uninstalled" {
        bench.advance(HOUR * 36).await;
        bench.fire_schedules().await;
        bench.drain(&calm).await;
    }
    bench.live(&calm, history.hours).await;
    (essence(&bench), requests, struck)
}

async fn the_end_is_the_same(name: &str, history: History) {
    let (undisturbed, requests, _) = play(&history, None).await;
    let writes = requests.iter().filter(|made| made.footprint.writes()).count();
    let mut crashed = 0;
    for (at, fault) in faults(&requests) {
        let (end, _, hit) = play(&history, Some((at, fault))).await;
        crashed += usize::from(hit && fault == Fault::CrashAfter);
        assert_eq!(end, undisturbed, "{name}: {fault:?} at request {at} of {}", requests.len());
    }
    assert_eq!(crashed, writes, "{name}: it ends after each request that writes");
    assert!(writes >= 2, "{name}: {writes} requests that write");
}

fn first() -> Value {
    delivery("orders/create", "w1", &order(1, 1))
}

fn second() -> Value {
    delivery("orders/create", "w2", &order(2, 2))
}

#[tokio::test(start_paused = true)]
async fn an_order_is_taken_in_and_matched_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first)],
        event: ("webhooks/orders-create", second),
        hours: 2,
    };
    the_end_is_the_same("orders/create", history).await;
}

/// The second order, told later: it went to another address and belongs to another person.
fn corrected() -> Value {
    let mut order = order(2, 2);
    order["updated_at"] = json!("2026-11-20T15:30:00Z");
    for field in ["email", "contact_email"] {
        order[field] = json!("someone.else@example.com");
    }
    order["total_price"] = json!("1.00");
    delivery("orders/updated", "w3", &order)
}

fn cancelled() -> Value {
    let mut order = order(2, 2);
    for field in ["updated_at", "cancelled_at"] {
        order[field] = json!("2026-11-20T15:30:00Z");
    }
    delivery("orders/cancelled", "w3", &order)
}

fn account() -> Value {
    sample("webhooks/customers-update/new-email")
}

fn asked() -> Value {
    sample("webhooks/customers-data-request/by-id")
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_case_changes_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first), ("webhooks/orders-create", second)],
        event: ("webhooks/orders-updated", corrected),
        hours: 2,
    };
    the_end_is_the_same("orders/updated", history).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_never_told_of_is_taken_in_once_by_its_update_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first)],
        event: ("webhooks/orders-updated", corrected),
        hours: 2,
    };
    the_end_is_the_same("orders/updated of an unknown order", history).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_order_settles_its_case_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first), ("webhooks/orders-create", second)],
        event: ("webhooks/orders-cancelled", cancelled),
        hours: 2,
    };
    the_end_is_the_same("orders/cancelled", history).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_is_rectified_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first), ("webhooks/orders-create", second)],
        event: ("webhooks/customers-update", account),
        hours: 2,
    };
    the_end_is_the_same("customers/update", history).await;
}

#[tokio::test(start_paused = true)]
async fn an_export_is_made_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first), ("webhooks/orders-create", second)],
        event: ("webhooks/customers-data-request", asked),
        hours: 2,
    };
    the_end_is_the_same("customers/data_request", history).await;
}

#[tokio::test(start_paused = true)]
async fn a_customer_is_erased_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first), ("webhooks/orders-create", second)],
        event: ("webhooks/customers-redact", || sample("webhooks/customers-redact/by-id")),
        hours: 3,
    };
    the_end_is_the_same("customers/redact", history).await;
}

#[tokio::test(start_paused = true)]
async fn a_shop_is_uninstalled_and_purged_once_whatever_ends_in_between() {
    let history = History {
        before: &[("webhooks/orders-create", first)],
        event: ("webhooks/app-uninstalled", || sample("webhooks/app-uninstalled/plain")),
        hours: 2,
    };
    the_end_is_the_same("app/uninstalled", history).await;
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_ends_anywhere_goes_on_and_counts_exactly() {
    // Given an uninstalled shop with orders, and a purge that ends at request n.
    let purge_at = async |fault: Option<(usize, Fault)>| {
        let bench = Bench::new().await;
        let calm = bench.app();
        let installation = calm.install().await;
        for id in 1..=4 {
            calm.order(&format!("w{id}"), &order(id, 1)).await;
        }
        bench.drain(&calm).await;
        calm.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
        bench.advance(HOUR * 36).await;
        assert_eq!(bench.fire_schedules().await, 1);
        let plan = fault.map_or_else(FaultPlan::none, |(at, fault)| FaultPlan::none().at(at, fault));
        let app = bench.app_through(bench.transport(), plan);
        let ended = app.connector.run(bench.drain(&app)).await;
        assert_eq!(ended == Outcome::Crashed, fault.is_some(), "{fault:?}");
        let requests = app.connector.requests();
        bench.advance(Duration::from_hours(2)).await;
        bench.drain(&calm).await;
        bench.live(&calm, 2).await;
        // Then nothing is left, and the receipt counts every order once.
        assert_eq!(bench.left_of(&installation.tenant), Vec::<String>::new(), "{fault:?}");
        let store = calm.store().await;
        let mut receipts = Vec::new();
        for days in 0..3 {
            let day = Timestamp::parse_rfc3339(START).unwrap() + HOUR * 24 * days;
            let entries = store.ledger_of(&installation.tenant.shop, day).await.unwrap();
            receipts.extend(entries.into_iter().filter(|entry| entry.what == What::ShopPurged));
        }
        assert_eq!(receipts.len(), 1, "{fault:?}");
        assert_eq!(receipts[0].counts["order"], 4, "{fault:?}");
        assert_eq!(receipts[0].counts["case"], 1, "{fault:?}");
        requests
    };
    let requests = purge_at(None).await;
    let crashes = faults(&requests).into_iter().filter(|(_, fault)| *fault == Fault::CrashAfter);
    let crashes: Vec<_> = crashes.collect();
    assert!(crashes.len() > 10, "{crashes:?}");
    for crash in crashes {
        purge_at(Some(crash)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_webhook_twice_at_once_takes_effect_once() {
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    let body = sample_body("webhooks/orders-create/first");
    let (one, two) = tokio::join!(app.order("same", &body), app.order("same", &body));
    let mut outcomes = [one["outcome"].clone(), two["outcome"].clone()];
    outcomes.sort_by_key(ToString::to_string);
    assert_eq!(outcomes, [json!("accepted"), json!("duplicate")]);
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 1);
    assert_eq!(bench.items("delivery").len(), 1);
}
