//! What an order costs: requests, writes and the partitions they fall on, counted on the wire, whatever the size of
//! the shop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ring::digest;
use serde_json::{Value, json};
use storeward_core::shop::Tenant;

use crate::bench::{App, Bench, SHOP, delivery, order, signed_delivery};
use crate::support::connector::transport;
use crate::support::faults::FaultPlan;

/// Requests by function and operation.
type Bill = BTreeMap<String, usize>;

/// Delivers an order and works on it, and counts what that took. The functions are warm.
async fn bill_of(bench: &Bench, app: &App, id: u64) -> Bill {
    let mut bill = Bill::new();
    let mut count = |function: &str, from: usize| {
        for recorded in &app.connector.requests()[from..] {
            let operation = format!("{}.{}", recorded.footprint.service, recorded.footprint.operation);
            *bill.entry(format!("{function} {operation}")).or_default() += 1;
        }
    };
    let before = app.connector.requests().len();
    app.order(&format!("w{id}"), &order(id, u32::try_from(id % 600).unwrap())).await;
    count("webhooks/orders-create", before);
    let before = app.connector.requests().len();
    bench.drain(app).await;
    count("jobs", before);
    bill
}

/// An id as blinds look, from a number.
fn blind(label: &str, number: usize) -> String {
    hex::encode(&digest::digest(&digest::SHA256, format!("{label}{number}").as_bytes()).as_ref()[..16])
}

/// Fills the shop with `orders` more: rows of the very shape of a real order's, under other blinds. `same_address`
/// leaves them under the real order's address.
fn fill(bench: &Bench, tenant: &Tenant, orders: usize, same_address: bool) {
    let table =
        bench.template.tables.iter().find(|table| table.name.ends_with("data")).expect("the data table");
    let real: Vec<Value> = bench
        .dump()
        .remove(&table.name)
        .unwrap()
        .into_iter()
        .filter(|item| {
            ["order", "match", "subject", "delivery"].contains(&item["kind"]["S"].as_str().unwrap())
        })
        .collect();
    let mut items = Vec::with_capacity(orders * real.len());
    for number in 0..orders {
        let id = blind("record", number);
        for item in &real {
            let mut item = item.clone();
            let kind = item["kind"]["S"].as_str().unwrap().to_owned();
            let partition = item["pk"]["S"].as_str().unwrap();
            let (pk, sk) = match kind.as_str() {
                "order" | "delivery" => {
                    let bucket = u8::from_str_radix(&id[..1], 16).unwrap();
                    (format!("{tenant}#{kind}#{bucket:02}"), id.clone())
                }
                _ => {
                    let (of_kind, _) = partition.rsplit_once('#').unwrap();
                    let kept = same_address && of_kind.ends_with("address");
                    let pk = if kept {
                        partition.to_owned()
                    } else {
                        format!("{of_kind}#{}", blind(of_kind, number))
                    };
                    let sort = item["sk"]["S"].as_str().unwrap();
                    let sk = match sort.split_once('#') {
                        Some((time, _)) => format!("{time}#{id}"),
                        None => format!("order/{id}"),
                    };
                    (pk, sk)
                }
            };
            item["pk"] = json!({ "S": pk });
            item["sk"] = json!({ "S": sk });
            items.push(item);
        }
    }
    bench.cloud.dynamodb().import(&table.name, items).unwrap();
}

/// The bills of an order that agrees with nothing, and of one that agrees with it, in a shop of a size.
async fn bills(orders: usize, same_address: bool) -> (Bill, Bill) {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    // A first order of someone else warms the functions and is the pattern for the others.
    let mut someone = order(9_000, 0);
    for field in ["email", "contact_email"] {
        someone[field] = json!("someone.else@example.com");
    }
    someone["phone"] = json!("+12025550199");
    someone["customer"] = json!({"id": 4_711});
    for address in ["billing_address", "shipping_address"] {
        someone[address]["phone"] = json!(null);
        someone[address]["last_name"] = json!("Else");
        if !same_address {
            someone[address]["address1"] = json!("99 Example Avenue");
        }
    }
    app.order("warm", &someone).await;
    bench.drain(&app).await;
    // That order opened no case: the job that tells of cases is warmed by hand.
    let store = app.context("jobs/notify-merchant").store().await.unwrap();
    assert!(store.tenant(&installation.tenant).await.unwrap().is_some());
    fill(&bench, &installation.tenant, orders, same_address);
    let alone = bill_of(&bench, &app, 1).await;
    assert_eq!(app.cases(&installation).await.len(), 0);
    let agreeing = bill_of(&bench, &app, 2).await;
    let cases = app.cases(&installation).await;
    assert_eq!(cases.iter().map(|case| case.size).collect::<Vec<_>>(), [2]);
    (alone, agreeing)
}

#[tokio::test(start_paused = true)]
async fn an_order_takes_the_same_requests_in_a_shop_of_any_size() {
    let (alone, agreeing) = bills(10, false).await;
    insta::assert_json_snapshot!("requests_of_an_order_alone", alone);
    insta::assert_json_snapshot!("requests_of_an_order_that_agrees", agreeing);
    for (orders, same_address) in [(1_000, false), (20_000, false), (5_000, true)] {
        let (of_alone, of_agreeing) = bills(orders, same_address).await;
        assert_eq!(of_alone, alone, "{orders} orders, same address: {same_address}");
        assert_eq!(of_agreeing, agreeing, "{orders} orders, same address: {same_address}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_answered_after_two_round_trips_also_the_first_of_a_shop_on_a_warm_instance() {
    // Given an instance that is warm from another shop's webhook.
    let bench = Bench::new().await;
    let app = bench.app();
    app.install_in("another-shop.myshopify.com").await;
    let mut other = delivery("orders/create", "w0", &order(1, 0));
    other["headers"]["x-shopify-shop-domain"] = json!("another-shop.myshopify.com");
    assert_eq!(app.post("webhooks/orders-create", other).await.0, 200);
    bench.app().install().await;
    // When the first webhook of a shop comes.
    let before = app.connector.requests().len();
    app.order("w1", &order(2, 0)).await;
    // Then what it asked for were two reads side by side, and after them a write and a message side by side.
    let requests = app.connector.requests();
    let made: Vec<&str> = requests[before..].iter().map(|made| made.footprint.operation.as_str()).collect();
    assert_eq!(made, ["Query", "Query", "TransactWriteItems", "SendMessage"]);
    assert_eq!(round_trips(&bench, &order(3, 0)).await, 2);
}

/// How many round trips follow one another. Each request takes a second of tokio's paused time, which only moves
/// when nothing else can go on: requests that are made side by side take the same second.
async fn round_trips(bench: &Bench, placed: &Value) -> u64 {
    let slow = Arc::new(AtomicBool::new(false));
    let (direct, counting) = (bench.transport(), Arc::clone(&slow));
    let way = transport(move |request| {
        let (direct, counting) = (Arc::clone(&direct), counting.load(Ordering::SeqCst));
        async move {
            if counting {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            direct(request).await
        }
    });
    let app = bench.app_through(way, FaultPlan::none());
    // A forged webhook makes the instance warm: it has its secrets, and knows nothing of the shop.
    let forged = signed_delivery("orders/create", "warm", SHOP, "test-wrong-secret", "{}");
    assert_eq!(app.post("webhooks/orders-create", forged).await.0, 401);
    slow.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    app.order("counted", placed).await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_busy_tenant_spreads_over_partitions() {
    // Given 640 orders of one shop, all of different people.
    const ORDERS: u32 = 640;
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    let before = app.connector.writes_per_partition();
    assert!(before.values().all(|writes| *writes < 5));
    for number in 0..ORDERS {
        let mut placed = order(u64::from(number) + 1, number);
        for field in ["contact_email", "phone", "billing_address", "customer"] {
            placed[field] = json!(null);
        }
        placed["email"] = json!(format!("person{number}@example.com"));
        // Different people live in different streets: each letter begins another.
        let letters: String = [number / 26 % 26, number % 26, number / 7 % 26]
            .into_iter()
            .filter_map(|letter| char::from_digit(letter + 10, 36))
            .collect();
        placed["shipping_address"] = json!({"address1": format!("{number} {letters} Street"), "zip": (20_000 + number / 8).to_string()});
        app.order(&format!("w{number}"), &placed).await;
    }
    // Then no partition key takes more than a twelfth of the orders, so that DynamoDB's 1,000 writes a second for one
    // key (2 for each item of a transaction) leave room for thousands of orders a second.
    let writes = app.connector.writes_per_partition();
    let hottest = writes.iter().max_by_key(|(_, writes)| **writes).expect("something was written");
    assert!(*hottest.1 * 12 < ORDERS as usize, "{hottest:?}");
    let of_orders = writes.iter().filter(|((_, partition), _)| partition.contains("#order#")).count();
    assert_eq!(of_orders, 16);
}

/// What news of an order asked for, one request after the other.
async fn bill_of_news(bench: &Bench, app: &App, topic: &str, webhook_id: &str, body: &Value) -> Vec<String> {
    let before = app.connector.requests().len();
    let function = format!("webhooks/{}", topic.replace('/', "-"));
    let (status, answer) = app.post(&function, delivery(topic, webhook_id, body)).await;
    assert_eq!(status, 200, "{answer}");
    let requests = &app.connector.requests()[before..];
    let made = requests.iter().map(|made| made.footprint.operation.clone()).collect();
    bench.drain(app).await;
    made
}

#[tokio::test(start_paused = true)]
async fn news_of_an_order_takes_few_requests_and_less_where_nothing_changed_that_is_kept() {
    // Given a case of two orders, and warm functions.
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    bench.two_orders(&app).await;
    for topic in ["orders/updated", "orders/cancelled"] {
        let forged = signed_delivery(topic, "warm", SHOP, "test-wrong-secret", "{}");
        let function = format!("webhooks/{}", topic.replace('/', "-"));
        assert_eq!(app.post(&function, forged).await.0, 401);
    }
    let told = |id: u64, minute: u32| {
        let mut body = order(id, 1);
        body["updated_at"] = json!(format!("2026-11-20T15:{minute:02}:00Z"));
        body
    };
    // A note, a tag, a payment: only the time is written. The keys of the shop are read once.
    let mut tagged = told(1, 10);
    tagged["tags"] = json!("possible-duplicate");
    let made = bill_of_news(&bench, &app, "orders/updated", "n1", &tagged).await;
    assert_eq!(made, ["Query", "Query", "GetItem", "BatchGetItem", "TransactWriteItems"]);
    // An order that changed, in its case; one that is not in any; one that nobody told of.
    let mut changed = told(1, 20);
    changed["total_price"] = json!("1.00");
    let made = bill_of_news(&bench, &app, "orders/updated", "n2", &changed).await;
    assert_eq!(made, ["Query", "GetItem", "BatchGetItem", "TransactWriteItems", "SendMessage"]);
    let mut alone = told(3, 20);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        alone[field] = json!(null);
    }
    alone["email"] = json!("someone.else@example.com");
    let made = bill_of_news(&bench, &app, "orders/updated", "n3", &alone).await;
    assert_eq!(made, ["Query", "GetItem", "TransactWriteItems", "SendMessage"]);
    alone["updated_at"] = json!("2026-11-20T15:30:00Z");
    alone["email"] = json!("another@example.com");
    let made = bill_of_news(&bench, &app, "orders/updated", "n4", &alone).await;
    assert_eq!(made, ["Query", "GetItem", "TransactWriteItems", "SendMessage"]);
    // What is late is read and left.
    let made = bill_of_news(&bench, &app, "orders/updated", "n5", &told(3, 1)).await;
    assert_eq!(made, ["Query", "GetItem"]);
    // A cancellation in a case leads to a look at what was held because of it.
    let mut over = told(2, 40);
    over["cancelled_at"] = over["updated_at"].clone();
    let made = bill_of_news(&bench, &app, "orders/cancelled", "n6", &over).await;
    assert_eq!(made, ["Query", "Query", "GetItem", "BatchGetItem", "TransactWriteItems", "SendMessage"]);
}
