//! Orders after they were placed: changed, cancelled, sent, told in any order and any number of times.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use storeward_core::guard::GuardSettings;
use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::MAX_BODY;
use storeward_store::{CaseState, Installation, Standing};

use crate::bench::{App, Bench, SECRETS, SHOP, delivery, order, sample, sample_body, signed_delivery};
use crate::support::connector::transport;
use crate::support::faults::FaultPlan;

/// The order as it was `minutes` after three in the afternoon.
fn told(mut order: Value, minutes: u32) -> Value {
    let at = Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap() + MINUTE * minutes;
    order["updated_at"] = json!(at.to_rfc3339());
    order
}

/// The same, cancelled then.
fn cancelled(order: Value, minutes: u32) -> Value {
    let mut order = told(order, minutes);
    order["cancelled_at"] = order["updated_at"].clone();
    order
}

/// The same, sent by then.
fn fulfilled(order: Value, minutes: u32) -> Value {
    let mut order = told(order, minutes);
    order["fulfillment_status"] = json!("fulfilled");
    order
}

/// Someone else's order.
fn of(id: u64, email: &str) -> Value {
    let mut order = order(id, 0);
    for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
        order[field] = json!(null);
    }
    order["email"] = json!(email);
    order
}

/// Delivers news of an order that must be answered with 200: what came of it.
async fn tell(app: &App, topic: &str, webhook_id: &str, order: &Value) -> String {
    let function = format!("webhooks/{}", topic.replace('/', "-"));
    let (status, body) = app.post(&function, delivery(topic, webhook_id, order)).await;
    assert_eq!(status, 200, "{topic} {webhook_id}: {body}");
    let because = body["because"].as_str().map(|because| format!(" {because}")).unwrap_or_default();
    format!("{}{because}", body["outcome"].as_str().unwrap())
}

/// Everything about orders that outlives how it came to be: keys, states, times; and what the sealed half says.
async fn essence(bench: &Bench, app: &App, installation: &Installation, ids: &[u64]) -> Vec<String> {
    let mut lines = Vec::new();
    for item in ["order", "match", "subject"].into_iter().flat_map(|kind| bench.items(kind)) {
        let state = ["updated_at", "standing", "expires_at"].map(|name| item[name].to_string());
        lines.push(format!("{} {} {}", item["pk"]["S"], item["sk"]["S"], state.join(" ")));
    }
    let store = app.store().await;
    let references: Vec<_> = bench
        .items("order")
        .iter()
        .map(|item| format!("order/{}", item["sk"]["S"].as_str().unwrap()))
        .collect();
    for reference in references {
        let record = store.order(installation, &reference.parse().unwrap()).await.unwrap().unwrap();
        assert!(ids.contains(record.order.id.expose()));
        let mut kept = serde_json::to_value(&record.order).unwrap();
        // How recent it is stands on the record.
        kept["updated_at"] = json!(null);
        lines.push(kept.to_string());
    }
    lines.sort();
    lines
}

fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..of.len() {
        let mut rest = of.to_vec();
        let one = rest.remove(first);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, one.clone());
            tail
        }));
    }
    all
}

/// Plays the deliveries in every order of arrival, each twice, and holds every end against that of the first.
async fn every_order_of_arrival_ends_alike(news: &[(&str, &str, Value)]) -> Vec<String> {
    let mut ends = BTreeSet::new();
    for arrival in permutations(news) {
        let bench = Bench::new().await;
        let app = bench.app();
        let installation = app.install().await;
        for (topic, id, body) in arrival.iter().chain(&arrival) {
            tell(&app, topic, id, body).await;
            bench.drain(&app).await;
        }
        assert_eq!(bench.items("due").len(), 0, "everything is done");
        ends.insert(essence(&bench, &app, &installation, &[1]).await);
    }
    assert_eq!(ends.len(), 1, "{ends:#?}");
    ends.pop_first().unwrap()
}

#[tokio::test(start_paused = true)]
async fn news_of_an_order_ends_alike_in_every_order_of_arrival() {
    // Given an order that is placed, corrected, corrected again and cancelled.
    let placed = order(1, 0);
    let mut corrected = placed.clone();
    corrected["email"] = json!("corrected@example.com");
    let mut again = corrected.clone();
    again["shipping_address"]["address1"] = json!("9 Example Street");
    again["total_price"] = json!(60.5);
    let mut news = vec![
        ("orders/create", "w0", told(placed, 0)),
        ("orders/updated", "w1", told(corrected, 1)),
        ("orders/updated", "w2", told(again.clone(), 2)),
    ];
    // Then what is left of the cancelled order is that it was, and by whom it is found.
    news.push(("orders/cancelled", "w3", cancelled(again.clone(), 3)));
    let end = every_order_of_arrival_ends_alike(&news).await;
    assert!(end.iter().all(|line| !line.contains("#match#")), "{end:#?}");
    assert!(end.iter().any(|line| line.contains("#subject#")), "{end:#?}");
    assert!(end.iter().all(|line| !line.contains("example")), "{end:#?}");
    // And where it is sent instead, it stands as it was told last.
    news[3] = ("orders/fulfilled", "w3", fulfilled(again, 3));
    let end = every_order_of_arrival_ends_alike(&news).await;
    assert!(end.iter().any(|line| line.contains("#match#")), "{end:#?}");
    assert!(end.iter().any(|line| line.contains("9 Example Street") && line.contains("60.5")), "{end:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_corrected_order_is_found_by_what_it_says_now_and_by_nothing_else() {
    // Given two orders that have nothing in common.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.order("a", &of(1, "one@example.com")).await;
    app.order("b", &of(2, "two@example.com")).await;
    bench.drain(&app).await;
    assert_eq!(app.cases(&installation).await.len(), 0);
    let rows = bench.items("match").len() + bench.items("subject").len();
    // When the second turns out to be the first person's.
    let outcome = tell(&app, "orders/updated", "c", &told(of(2, "one@example.com"), 5)).await;
    assert_eq!(outcome, "accepted");
    bench.drain(&app).await;
    // Then they are a case, there are as many rows as before and one more for each of its orders, and who orders under the
    // old address is someone else.
    assert_eq!(app.cases(&installation).await.iter().map(|case| case.size).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.items("match").len() + bench.items("subject").len(), rows + 2);
    app.order("d", &of(3, "two@example.com")).await;
    bench.drain(&app).await;
    assert_eq!(app.cases(&installation).await.len(), 1);
    // And telling it again, or what was before, changes nothing.
    let before = bench.dump();
    assert_eq!(tell(&app, "orders/updated", "c", &told(of(2, "one@example.com"), 5)).await, "duplicate");
    assert_eq!(tell(&app, "orders/updated", "e", &told(of(2, "two@example.com"), 4)).await, "refused stale");
    assert_eq!(bench.dump(), before);
    assert_eq!(bench.messages().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_case_follows_its_orders_and_their_people_are_found_in_it() {
    // Given a case of two orders.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for id in 1..=2 {
        app.order(&format!("w{id}"), &of(id, "one@example.com")).await;
        bench.drain(&app).await;
    }
    // When one of them changes hands, name and price.
    let mut changed = told(of(2, "someone.else@example.com"), 5);
    changed["name"] = json!("#2-B");
    changed["total_price"] = json!("99.00");
    assert_eq!(tell(&app, "orders/updated", "u", &changed).await, "accepted");
    bench.drain(&app).await;
    // Then the case says so.
    let case = app.cases(&installation).await.remove(0);
    let member = case.members.iter().find(|member| *member.id.expose() == 2).unwrap();
    assert_eq!(member.name.as_ref().map(|name| name.expose().as_str()), Some("#2-B"));
    assert_eq!(member.total.as_deref(), Some("99.00"));
    // And when that someone is erased long after the order expired, the case is ended.
    bench.advance(storeward_core::time::DAY * 61).await;
    assert_eq!(bench.items("order").len(), 0);
    let mut request = sample_body("webhooks/customers-redact/email-only");
    request["customer"]["email"] = json!("someone.else@example.com");
    request["orders_to_redact"] = json!([]);
    let event = delivery("customers/redact", "r", &request);
    assert_eq!(app.post("webhooks/customers-redact", event).await.0, 200);
    bench.drain(&app).await;
    assert_eq!(app.cases(&installation).await.remove(0).state, CaseState::Anonymised);
}

#[tokio::test(start_paused = true)]
async fn a_case_is_settled_when_fewer_than_two_of_its_orders_stand_and_sent_ones_stand() {
    // Given a case of three orders.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    for id in 1..=3 {
        app.order(&format!("w{id}"), &order(id, 1)).await;
        bench.drain(&app).await;
    }
    let state = async || app.cases(&installation).await.remove(0);
    // When two are sent, it stays open: two parcels of one order are under way.
    for id in 1..=2 {
        let sent = fulfilled(order(id, 1), 5);
        assert_eq!(tell(&app, "orders/fulfilled", &format!("f{id}"), &sent).await, "accepted");
    }
    assert_eq!(state().await.state, CaseState::Open);
    // When one of three is cancelled, two stand; with the second there is nothing left to decide.
    assert_eq!(tell(&app, "orders/cancelled", "c3", &cancelled(order(3, 1), 6)).await, "accepted");
    let standings = state().await.members.iter().map(|member| member.standing).collect::<Vec<_>>();
    assert_eq!(standings, [Standing::Fulfilled, Standing::Fulfilled, Standing::Cancelled]);
    assert_eq!(state().await.state, CaseState::Open);
    assert_eq!(tell(&app, "orders/cancelled", "c2", &cancelled(order(2, 1), 7)).await, "accepted");
    assert_eq!(state().await.state, CaseState::Settled);
    // And what was cancelled is nobody's duplicate, while another order opens the case again.
    app.order("w4", &order(4, 2)).await;
    bench.drain(&app).await;
    let case = state().await;
    assert_eq!((case.state, case.size), (CaseState::Open, 4));
}

#[tokio::test(start_paused = true)]
async fn who_was_erased_does_not_come_back_with_an_update_whatever_it_says() {
    // Given an erased person's order.
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    app.order("a", &of(1, "erased@example.com")).await;
    bench.drain(&app).await;
    let mut request = sample_body("webhooks/customers-redact/email-only");
    request["customer"]["email"] = json!("erased@example.com");
    request["orders_to_redact"] = json!([]);
    app.post("webhooks/customers-redact", delivery("customers/redact", "r", &request)).await;
    bench.drain(&app).await;
    assert_eq!(bench.items("order").len(), 0);
    // When news of it comes, also under another address, also as a cancellation.
    for (number, email) in ["erased@example.com", "another@example.com"].into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        for (topic, news) in [
            ("orders/updated", told(of(1, email), 10 + number)),
            ("orders/cancelled", cancelled(of(1, email), 10 + number)),
        ] {
            assert_eq!(tell(&app, topic, &format!("{topic}{number}"), &news).await, "refused erased");
        }
    }
    // Then nothing is stored.
    for kind in ["order", "match", "subject"] {
        assert_eq!(bench.items(kind).len(), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_guard_off_nothing_new_is_stored_and_what_is_stored_stays_right() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.order("a", &of(1, "one@example.com")).await;
    bench.drain(&app).await;
    let off = GuardSettings { enabled: false, ..GuardSettings::default() };
    assert!(app.store().await.change_settings(&installation, &off).await.unwrap());
    assert_eq!(app.order("b", &of(2, "one@example.com")).await["outcome"], "nothing_to_do");
    assert_eq!(tell(&app, "orders/updated", "c", &told(of(3, "one@example.com"), 1)).await, "nothing_to_do");
    assert_eq!(bench.items("order").len(), 1);
    assert_eq!(tell(&app, "orders/updated", "d", &told(of(1, "two@example.com"), 2)).await, "accepted");
    assert_eq!(bench.messages().await, 0, "nothing is matched");
    assert_eq!(
        tell(&app, "orders/cancelled", "e", &cancelled(of(1, "two@example.com"), 3)).await,
        "accepted"
    );
    assert_eq!(bench.items("match").len(), 0);
    assert_eq!(bench.items("due").len(), 0);
}

/// A process before whose transactions that hold `part` another one is told news.
fn overtaken(bench: &Bench, part: &'static str, topic: &'static str, news: Value) -> App {
    let (direct, other) = (bench.transport(), std::sync::Arc::new((bench.app(), news)));
    let way = transport(move |request| {
        let (direct, other) = (std::sync::Arc::clone(&direct), std::sync::Arc::clone(&other));
        async move {
            let target = request.headers().get("x-amz-target");
            if target.is_some_and(|target| target.to_str().unwrap().ends_with("TransactWriteItems"))
                && String::from_utf8_lossy(request.body()).contains(part)
            {
                tell(&other.0, topic, "overtakes", &other.1).await;
            }
            direct(request).await
        }
    });
    bench.app_through(way, FaultPlan::none())
}

#[tokio::test(start_paused = true)]
async fn an_order_cancelled_while_it_is_matched_joins_no_case() {
    // Given two orders that agree, and a cancellation that comes between the look and the case.
    let bench = Bench::new().await;
    let calm = bench.app();
    let installation = calm.install().await;
    for id in 1..=2 {
        calm.order(&format!("w{id}"), &order(id, 1)).await;
    }
    let racing = overtaken(&bench, "case_id = :case, flag", "orders/cancelled", cancelled(order(2, 1), 9));
    bench.drain(&racing).await;
    assert_eq!(calm.cases(&installation).await.len(), 0);
    assert_eq!(bench.items("order").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn news_that_takes_back_what_is_being_written_is_not_overwritten_by_it() {
    // Given an order, news that it costs something else, and later news that it does not, which comes first.
    let bench = Bench::new().await;
    let calm = bench.app();
    let installation = calm.install().await;
    calm.order("w1", &order(1, 1)).await;
    let (mut earlier, later) = (told(order(1, 1), 1), told(order(1, 1), 2));
    earlier["total_price"] = json!("1.00");
    let racing = overtaken(&bench, "", "orders/updated", later);
    tell(&racing, "orders/updated", "earlier", &earlier).await;
    let store = calm.store().await;
    let id = bench.items("order")[0]["sk"]["S"].as_str().unwrap().to_owned();
    let record = store.order(&installation, &format!("order/{id}").parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(json!(record.order.total_price), order(1, 1)["total_price"]);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_nobody_should_send_are_answered_and_leave_nothing() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let before = bench.dump();
    let deep = format!(
        r#"{{"id":1,"created_at":"2026-11-20T15:00:00Z","total_price":null,"customer":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let twice = r#"{"id":1,"id":2,"created_at":"2026-11-20T15:00:00Z","total_price":null}"#.to_owned();
    let large = format!(r#"{{"id":1,"note":"{}"}}"#, "x".repeat(MAX_BODY));
    let truncated = sample("webhooks/orders-updated/corrected")["body"].as_str().unwrap()[..4000].to_owned();
    for topic in ["orders/updated", "orders/cancelled", "orders/fulfilled"] {
        let function = format!("webhooks/{}", topic.replace('/', "-"));
        for (body, expected) in [(&deep, 400), (&twice, 400), (&large, 413), (&truncated, 400)] {
            let (status, problem) =
                app.post(&function, signed_delivery(topic, "bad", SHOP, SECRETS[0], body)).await;
            assert_eq!(status, expected, "{topic}: {problem}");
        }
        // Another topic's body, and a forged one.
        let (status, _) = app.post(&function, delivery("orders/create", "bad", &order(1, 0))).await;
        assert_eq!(status, 400);
        let forged = signed_delivery(topic, "bad", SHOP, "test-wrong-secret", &order(1, 0).to_string());
        assert_eq!(app.post(&function, forged).await.0, 401);
    }
    assert_eq!(bench.dump(), before);
    // Nulls wherever they can be, an id above 2^53, an amount as a float: an order like any other.
    let id = 9_007_199_254_740_993_u64;
    let mut nulls = sample_body("webhooks/orders-create/nulls");
    nulls["id"] = json!(id);
    assert_eq!(tell(&app, "orders/updated", "n1", &nulls).await, "accepted");
    let mut body = nulls.clone();
    for (_, value) in body.as_object_mut().unwrap().iter_mut() {
        *value = json!(null);
    }
    body["id"] = json!(id);
    body["created_at"] = nulls["created_at"].clone();
    body["cancelled_at"] = json!("2026-11-20T15:30:00Z");
    body["total_price"] = json!(12.5);
    assert_eq!(tell(&app, "orders/cancelled", "n2", &body).await, "accepted");
    let reference =
        format!("order/{}", bench.items("order")[0]["sk"]["S"].as_str().unwrap()).parse().unwrap();
    let record = app.store().await.order(&installation, &reference).await.unwrap().unwrap();
    assert_eq!((*record.order.id.expose(), record.standing), (id, Standing::Cancelled));
}
