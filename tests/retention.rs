//! Retention over the real store with a moved clock: what is past its window cannot be read, whatever became of the window,
//! and is deleted by the job when a window became shorter. The clock moves without DynamoDB's TTL, which may be late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::guard::{Decision, GuardSettings};
use storeward_core::retention::{Deployment, Lives, Plan, Terms};
use storeward_core::time::{Clock, DAY, HOUR, Timestamp};
use storeward_local::runtime::bundle::{Bundle, Keep, Options};
use storeward_store::{Applied, CaseFilter, Deciding, Installation, OrderRecord, RecordRef, What};

use crate::bench::{App, Bench, SHOP, delivery, order, root, sample, sample_body};

/// Who opened the app first, and owns it.
const OWNER: &str = "42";

/// A deployment that keeps things as these two settings say.
pub(crate) fn deploy(bench: &mut Bench, preset: &str, days: &str) {
    for function in bench.functions() {
        for (variable, value) in &mut function.environment {
            match variable.as_str() {
                "STOREWARD_RETENTION_PRESET" => preset.clone_into(value),
                "STOREWARD_RETENTION_DAYS" => days.clone_into(value),
                _ => {}
            }
        }
    }
}

/// A shop on a paid plan with two orders of one person in a case, which the merchant made an exception of.
async fn shop(bench: &Bench) -> (App, Installation) {
    let app = bench.app();
    let installation = app.install().await;
    app.store().await.member_opened(&installation, OWNER).await.unwrap();
    place(bench, &app, 1, "2026-11-20T15:00:00Z").await;
    place(bench, &app, 2, "2026-11-20T15:01:00Z").await;
    let cases = app.cases(&installation).await;
    assert_eq!(cases.len(), 1, "two orders of one person are a case");
    let store = app.store().await;
    let decided = store.decide(&installation, &cases[0].reference, Decision::NeverThisCustomer, None).await;
    assert!(matches!(decided.unwrap(), Deciding::Decided(_)));
    (app, installation)
}

async fn place(bench: &Bench, app: &App, id: u64, at: &str) {
    let mut body = order(id, 0);
    for time in ["created_at", "updated_at"] {
        body[time] = json!(at);
    }
    let answer =
        app.invoke("webhooks/orders-create", delivery("orders/create", &format!("o{id}"), &body)).await;
    assert_eq!(answer.unwrap()["statusCode"], 200);
    matched(bench, app).await;
}

/// Works on what waits for `match-order`, and drops what it wants told.
async fn matched(bench: &Bench, app: &App) {
    work(bench, app, "jobs/match-order").await;
    let queue = queue_of(bench, "jobs/notify-merchant");
    for message in bench.receive(&queue).await {
        bench.delete(&queue, &message).await;
    }
}

fn queue_of(bench: &Bench, function: &str) -> String {
    let wired = bench.template.functions.iter().find(|known| known.handler == function).unwrap();
    wired.queues[0].queue.clone()
}

/// How many messages of a function's queue it worked on.
async fn work(bench: &Bench, app: &App, function: &str) -> usize {
    let queue = queue_of(bench, function);
    let mut handled = 0;
    loop {
        let messages = bench.receive(&queue).await;
        if messages.is_empty() {
            return handled;
        }
        let answer = app.invoke(function, crate::bench::batch(&messages)).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{function}");
        for message in messages {
            bench.delete(&queue, &message).await;
            handled += 1;
        }
    }
}

async fn sweep(app: &App) {
    app.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
}

/// Asks the API as the merchant does: the status and the body.
async fn ask(app: &App, key: &str, body: &Value) -> (u64, Value) {
    let shop = app.store().await.shop_id(&SHOP.parse().unwrap());
    let mut event = sample("api/settings/replace");
    event["requestContext"]["authorizer"]["lambda"]["actor"] = json!(app.store().await.actor(&shop, OWNER));
    event["routeKey"] = json!(key);
    event["body"] = json!(body.to_string());
    event["requestContext"]["authorizer"]["lambda"]["shop"] = json!(shop);
    let answer = app.invoke("api/settings", event).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

async fn choose(app: &App, body: &Value) -> Value {
    let (status, answer) = ask(app, "PUT /v1/retention", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn refused(app: &App, key: &str, body: &Value) -> String {
    let (status, answer) = ask(app, key, body).await;
    assert_eq!(status, 422, "{answer}");
    answer["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}

/// The references of what is stored of a kind, alive or not.
fn stored(bench: &Bench, kind: Kind) -> Vec<RecordRef> {
    let of = |item: &Value| format!("{}/{}", kind.name(), item["sk"]["S"].as_str().unwrap()).parse().unwrap();
    bench.items(kind.name()).iter().map(of).collect()
}

/// How many of each kind every way of reading it gives, as a handler does it: the installation first.
async fn readable(app: &App, orders: &[RecordRef]) -> BTreeMap<&'static str, usize> {
    let store = app.store().await;
    let shop = store.shop_id(&SHOP.parse().unwrap());
    let installation = store.installation(&shop).await.unwrap().unwrap();
    let batch: Vec<OrderRecord> = store.orders(&installation, orders).await.unwrap();
    for reference in orders {
        let alone = store.order(&installation, reference).await.unwrap();
        assert_eq!(alone.is_some(), batch.iter().any(|record| record.reference == *reference));
    }
    let sample = store.sample(&installation, Timestamp(0), 100, &|| true).await.unwrap();
    assert_eq!(sample.orders.len(), batch.len(), "a sample is of the orders that can be read");
    let mut candidates = 0;
    let settings = GuardSettings { window_minutes: 30 * 24 * 60, ..GuardSettings::default() };
    for record in &batch {
        candidates += store.candidates(&installation, record, &settings).await.unwrap().len();
    }
    let cases = store.cases(&installation).await.unwrap();
    let listed = store.list_cases(&installation, &CaseFilter::default(), None, 100).await.unwrap().unwrap();
    assert_eq!(listed.cases.len(), cases.len(), "the list and the cases");
    let exceptions = store.exceptions(&installation).await.unwrap();
    let known = store.knows_customer(&installation, &customer().into()).await.unwrap();
    BTreeMap::from([
        ("order", batch.len()),
        ("candidate", candidates),
        ("case", cases.len()),
        ("exception", exceptions.len()),
        ("subject", usize::from(known)),
    ])
}

fn customer() -> u64 {
    sample_body("webhooks/orders-create/first")["customer"]["id"].as_u64().unwrap()
}

/// Nothing that is stored ends later than the policy says, and nothing that leads somewhere later than what it leads to.
fn ends_in_time(bench: &Bench, deployment: &Deployment) {
    let policy = Terms::begin(deployment, Plan::Paid).policy(deployment, None);
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    let items: Vec<Value> = bench.dump().into_values().flatten().collect();
    let number = |item: &Value| item["expires_at"]["N"].as_str().map(|end| end.parse::<i64>().unwrap());
    for item in items.iter().filter(|item| item.get("lives").is_some()) {
        let end = number(item).expect("what lives ends");
        let lives = Lives::read(item["lives"]["S"].as_str().unwrap());
        assert!(lives.end(&policy).is_some_and(|latest| end <= latest), "{item}");
        ends.insert(
            format!("{}/{}", item["kind"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap()),
            end,
        );
    }
    for item in &items {
        let sort = item["sk"]["S"].as_str().unwrap();
        let records: Vec<String> = match item["kind"]["S"].as_str().unwrap() {
            "match" => vec![format!("order/{}", sort.rsplit_once('#').unwrap().1)],
            "case-index" => vec![format!("case/{}", sort.rsplit_once('#').unwrap().1)],
            "notice" => vec![format!("case/{sort}")],
            "subject" => {
                let case = item["case_id"]["S"].as_str().map(str::to_owned);
                case.into_iter().chain([sort.to_owned()]).collect()
            }
            _ => continue,
        };
        let longest = records.iter().filter_map(|record| ends.get(record)).max();
        assert!(number(item).as_ref() <= longest, "outlives what it leads to: {item}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_read_past_its_window() {
    for (preset, order, r#match, kept) in [("strictest", 60, 30, 365), ("bot-guard", 30, 30, 90)] {
        let mut bench = Bench::new().await;
        deploy(&mut bench, preset, "");
        let (app, _) = shop(&bench).await;
        ends_in_time(&bench, &Deployment::read(preset, "").unwrap());
        let orders = stored(&bench, Kind::Order);
        let (placed, opened) = (Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap(), bench.clock.now());
        let moves = [
            // The other order came a minute later, and can still be found by what is left of the first.
            (placed, r#match, "candidate", 2, usize::from(order > r#match)),
            (placed, order, "order", 2, 1),
            (opened, kept, "case", 1, 0),
            (opened, kept, "exception", 1, 0),
        ];
        for (began, days, what, before, after) in moves {
            let end = began + DAY * days;
            if bench.clock.now() < end {
                bench.clock.set(end - Duration::from_secs(1));
                assert_eq!(readable(&app, &orders).await[what], before, "{preset}: {what} before its end");
            }
            bench.clock.set(end);
            assert_eq!(readable(&app, &orders).await[what], after, "{preset}: {what} at its end");
        }
        bench.clock.set(placed + DAY * (kept + 1));
        assert!(readable(&app, &orders).await.values().all(|count| *count == 0), "{preset}");
        assert_eq!(stored(&bench, Kind::Order).len(), 2, "only the readers know: nothing was deleted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shorter_window_counts_at_once_and_a_longer_one_brings_nothing_back() {
    let mut bench = Bench::new().await;
    deploy(&mut bench, "duplicate-guard", "");
    let (app, installation) = shop(&bench).await;
    let orders = stored(&bench, Kind::Order);
    bench.clock.advance(DAY * 12);
    assert_eq!(readable(&app, &orders).await["order"], 2);
    let answer = choose(&app, &json!({"order": 10, "exception": 5, "case": 100})).await;
    assert_eq!(answer["order"], json!({"days": 10, "chosen": 10, "longest": 60}));
    assert_eq!(
        answer["match"],
        json!({"days": 10, "chosen": null, "longest": 30}),
        "no longer than the order"
    );
    let now = readable(&app, &orders).await;
    assert_eq!([now["order"], now["candidate"], now["exception"], now["case"]], [0, 0, 0, 1], "at once");
    // Another instance, which was warm under the old terms, sees it too.
    assert_eq!(readable(&bench.app(), &orders).await["order"], 0);
    // Longer again before anything was deleted: what had expired stays gone.
    choose(&app, &json!({})).await;
    let now = readable(&app, &orders).await;
    assert_eq!([now["order"], now["exception"], now["case"]], [0, 0, 1]);
    assert_eq!(stored(&bench, Kind::Order).len(), 2, "nothing was deleted yet");
    // What the first change asked for is done under the terms that count now, and deletes what was gone.
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 1);
    assert_eq!(stored(&bench, Kind::Order).len(), 0);
    assert_eq!(bench.items("match").len(), 0);
    assert_eq!(bench.items("exception").len(), 0);
    assert_eq!(bench.items("case").len(), 1);
    let subjects = bench.items("subject");
    assert!(!subjects.is_empty(), "the person is still found in the case");
    assert!(subjects.iter().all(|row| row["case_id"]["S"].as_str().is_some()), "{subjects:?}");
    let entries = app.store().await.ledger_of(&installation.tenant.shop, bench.clock.now()).await.unwrap();
    let changed: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.what == What::RetentionChanged)
        .map(|entry| entry.why.as_str())
        .collect();
    let told = [
        "merchant: order=10,match=10,case=100,exception=5,thread=365,mail=90 days",
        "merchant: order=60,match=30,case=365,exception=365,thread=365,mail=90 days",
    ];
    assert!(told.iter().all(|why| changed.contains(why)), "{changed:?}");
    let applied: Vec<_> = entries.iter().filter(|entry| entry.what == What::RetentionApplied).collect();
    assert_eq!(applied[0].counts["order"], 2, "{applied:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_ends_with_a_shorter_window_and_writing_again_does_not_prolong_it() {
    let mut bench = Bench::new().await;
    deploy(&mut bench, "duplicate-guard", "");
    let (app, installation) = shop(&bench).await;
    choose(&app, &json!({"order": 10, "case": 20, "exception": 15})).await;
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 1);
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 0);
    let short = Deployment::read("duplicate-guard", "order=10,case=20,exception=15").unwrap();
    ends_in_time(&bench, &short);
    // Once more when nobody can be writing under the terms before; then the due row is done with.
    bench.advance(HOUR).await;
    sweep(&app).await;
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 1);
    bench.advance(HOUR * 2).await;
    sweep(&app).await;
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 0, "once is enough");
    choose(&app, &json!({})).await;
    let mut news = order(1, 0);
    news["updated_at"] = json!("2026-11-20T19:30:00Z");
    news["total_price"] = json!("1.23");
    let told =
        app.invoke("webhooks/orders-updated", delivery("orders/updated", "again", &news)).await.unwrap();
    assert_eq!(told["statusCode"], 200);
    matched(&bench, &app).await;
    let cases = app.cases(&installation).await;
    let store = app.store().await;
    let installation = store.tenant(&installation.tenant).await.unwrap().unwrap();
    store.decide(&installation, &cases[0].reference, Decision::Confirm, None).await.unwrap();
    let first = cases[0].members.iter().find(|member| *member.id.expose() == 1).unwrap();
    let record = store.order(&installation, &first.order).await.unwrap().unwrap();
    assert_eq!(record.order.total_price.as_deref(), Some("1.23"), "it was written again");
    ends_in_time(&bench, &short);
}

#[tokio::test(start_paused = true)]
async fn the_plan_and_the_deployment_shorten_what_is_stored() {
    let mut bench = Bench::new().await;
    deploy(&mut bench, "bot-guard", "");
    let (app, installation) = shop(&bench).await;
    sweep(&app).await;
    let orders = stored(&bench, Kind::Order);
    bench.clock.advance(DAY * 8);
    assert_eq!(readable(&app, &orders).await["order"], 2);
    let update = |plan: &str, id: &str, at: &str| {
        let mut body = sample_body("webhooks/shop-update/plain");
        body["plan_display_name"] = json!(plan);
        body["updated_at"] = json!(at);
        delivery("shop/update", id, &body)
    };
    let free = update("Free", "free", "2026-11-28T10:00:00Z");
    assert_eq!(app.invoke("webhooks/shop-update", free).await.unwrap()["statusCode"], 200);
    assert_eq!(readable(&app, &orders).await["order"], 0, "at once");
    let paid = update("Grow", "paid", "2026-11-28T10:01:00Z");
    assert_eq!(app.invoke("webhooks/shop-update", paid).await.unwrap()["statusCode"], 200);
    assert_eq!(readable(&app, &orders).await["order"], 0, "and for good");
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 1);
    assert_eq!(stored(&bench, Kind::Order).len(), 0);
    assert_eq!(readable(&app, &orders).await["case"], 1);
    // The due row's pass, so that the queue is empty for what follows.
    bench.clock.advance(HOUR * 2);
    sweep(&app).await;
    work(&bench, &app, "jobs/apply-retention").await;
    // A deployment that keeps cases for a week: its readers know at once, its first sweep asks for the rest.
    deploy(&mut bench, "bot-guard", "case=7");
    let app = bench.app();
    assert_eq!(readable(&app, &orders).await["case"], 0);
    assert_eq!(stored(&bench, Kind::Case).len(), 1);
    sweep(&app).await;
    assert_eq!(work(&bench, &app, "jobs/apply-retention").await, 1);
    assert_eq!(stored(&bench, Kind::Case).len(), 0);
    assert_eq!((bench.items("case-index").len(), bench.items("notice").len()), (0, 0));
    let entries = app.store().await.ledger_of(&installation.tenant.shop, bench.clock.now()).await.unwrap();
    assert!(entries.iter().any(|entry| entry.why.starts_with("deployment: ")), "{entries:?}");
    bench.clock.advance(HOUR);
    sweep(&app).await;
    assert_eq!(
        work(&bench, &app, "jobs/apply-retention").await,
        1,
        "the second pass, and no third for every sweep"
    );
}

#[tokio::test(start_paused = true)]
async fn going_through_an_installation_stops_and_goes_on() {
    let mut bench = Bench::new().await;
    deploy(&mut bench, "duplicate-guard", "");
    let (app, installation) = shop(&bench).await;
    bench.clock.advance(DAY * 12);
    choose(&app, &json!({"order": 10, "case": 10, "exception": 10})).await;
    let store = app.store().await;
    let mut from = 0;
    let mut runs = 0;
    loop {
        let asked = AtomicUsize::new(0);
        let a_while = || asked.fetch_add(1, Ordering::SeqCst) < 5;
        match store.apply_retention(&installation.tenant, from, &a_while).await.unwrap() {
            Applied::Unfinished(next) => {
                assert!(next > from, "each run comes further");
                from = next;
                runs += 1;
            }
            done => {
                assert_eq!(done, Applied::Done);
                break;
            }
        }
    }
    assert!(runs > 5, "{runs} runs");
    for kind in ["order", "match", "subject", "case", "case-index", "exception", "notice"] {
        assert!(bench.items(kind).is_empty(), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn orders_that_outlive_their_case_are_free_for_another() {
    let mut bench = Bench::new().await;
    deploy(&mut bench, "duplicate-guard", "case=1");
    let app = bench.app();
    let installation = app.install().await;
    let week = GuardSettings { window_minutes: 7 * 24 * 60, ..GuardSettings::default() };
    assert!(app.store().await.change_settings(&installation, &week).await.unwrap());
    place(&bench, &app, 1, "2026-11-20T15:00:00Z").await;
    place(&bench, &app, 2, "2026-11-20T15:01:00Z").await;
    let first = app.cases(&installation).await.remove(0).reference;
    bench.advance(DAY * 2).await;
    assert!(app.cases(&installation).await.is_empty(), "the case is over");
    place(&bench, &app, 3, "2026-11-22T15:00:00Z").await;
    let cases = app.cases(&installation).await;
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0].size, 3, "all three");
    assert_ne!(cases[0].reference, first);
    ends_in_time(&bench, &Deployment::read("duplicate-guard", "case=1").unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_uninstalled_shop_shows_nothing_after_48_hours_even_when_its_purge_is_late() {
    let bench = Bench::new().await;
    let (app, installation) = shop(&bench).await;
    let orders = stored(&bench, Kind::Order);
    app.store().await.uninstall(&installation, "test").await.unwrap();
    bench.clock.advance(Duration::from_secs(48 * 3600 - 1));
    let before = readable(&app, &orders).await;
    assert_eq!([before["order"], before["case"], before["exception"]], [2, 1, 1]);
    bench.clock.advance(Duration::from_secs(1));
    assert!(readable(&app, &orders).await.values().all(|count| *count == 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_chosen_is_said_and_nothing_is_changed() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    app.store().await.member_opened(&installation, OWNER).await.unwrap();
    let (_, before) = ask(&app, "GET /v1/retention", &Value::Null).await;
    assert_eq!(
        before["order"],
        json!({"days": 60, "chosen": null, "longest": 60}),
        "the strictest by default"
    );
    let put = "PUT /v1/retention";
    for body in [json!({"order": 61}), json!({"order": 0}), json!({"case": 366}), json!({"exception": 366})] {
        assert_eq!(refused(&app, put, &body).await, "retention-out-of-bounds", "{body}");
    }
    let wide = json!({"window_minutes": 10 * 24 * 60});
    assert_eq!(ask(&app, "PUT /v1/settings", &wide).await.0, 200);
    assert_eq!(refused(&app, put, &json!({"match": 9})).await, "window-beyond-retention");
    assert_eq!(refused(&app, put, &json!({"order": 9})).await, "window-beyond-retention");
    assert_eq!(ask(&app, "GET /v1/retention", &Value::Null).await.1, before, "nothing was changed");
    choose(&app, &json!({"match": 10})).await;
    let wider = json!({"window_minutes": 10 * 24 * 60 + 1});
    assert_eq!(refused(&app, "PUT /v1/settings", &wider).await, "window-beyond-retention");
    assert_eq!(
        refused(&app, "POST /v1/settings/preview", &json!({"settings": wider})).await,
        "window-beyond-retention"
    );
    assert_eq!(ask(&app, put, &json!({"delivery": 1})).await.0, 400, "that is nobody's choice");
}

#[tokio::test]
async fn a_deployment_that_keeps_longer_than_promised_does_not_start() {
    for (preset, days, said) in [
        ("duplicate-guard", "order=61", "order: 61 days are asked for, choose 1 to 60"),
        ("bot-guard", "case=91", "case: 91 days are asked for, choose 1 to 90"),
        ("strictest", "case=0", "case: 0 days are asked for, choose 1 to 365"),
    ] {
        let options = Options {
            template: std::fs::read_to_string(root().join("template.yaml")).unwrap(),
            client_secrets: vec!["test-shopify-secret".to_owned()],
            keep: Keep::Nothing { from: Timestamp(0) },
            parameters: BTreeMap::from([
                ("RetentionPreset".to_owned(), preset.to_owned()),
                ("RetentionDays".to_owned(), days.to_owned()),
            ]),
        };
        let error = Bundle::start(options, 1).await.unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("STOREWARD_RETENTION_DAYS"), "{error}");
    }
}
