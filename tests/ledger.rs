//! The ledger as auditors meet it: every change says who made it, every read of personal data stands in the access log, and
//! whatever is done to the table or the sealed days afterwards is found and named.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::guard::GuardSettings;
use storeward_core::ledger::is_included;
use storeward_core::ledger::seal::{Finding, SigningKey, check_documents, day_after};
use storeward_core::reviews::Review;
use storeward_core::time::{Clock, DAY, HOUR};
use storeward_local::commands::verify::{Audit, Table, VerifyArgs, audit, entries_of, receipt, verify};
use storeward_store::{AccessNote, By, Desk, LogRange, StoreError, What};

use crate::bench::{App, Bench, SHOP, order, root, sample};
use crate::leaks::{listen, take_logged};

const SEAL: &str = "schedules/seal-ledger";
const LEDGER: &str = "storeward-development-ledger";

pub(crate) async fn seal(app: &App) -> Value {
    app.invoke(SEAL, sample("schedules/seal-ledger/daily")).await.unwrap()
}

fn documents(bench: &Bench) -> Vec<(String, String)> {
    let text = |body: &Bytes| String::from_utf8(body.to_vec()).unwrap();
    bench.cloud.s3().objects().iter().map(|(name, body)| (name.clone(), text(body))).collect()
}

fn table(bench: &Bench) -> Table {
    entries_of(&bench.cloud.dynamodb().dump(LEDGER).unwrap())
}

fn key(bench: &Bench) -> SigningKey {
    SigningKey::read(&bench.cloud.kms().public_key()).unwrap()
}

pub(crate) fn audited(bench: &Bench) -> Audit {
    audit(&documents(bench), &key(bench), Some(&table(bench)), None)
}

/// Whether all is as it was sealed, and what is told, to an auditor who has copies of documents, key and table.
fn told(bench: &Bench, documents: &[(String, String)], until: Option<&str>) -> (bool, String) {
    let copy = tempfile::tempdir().unwrap();
    let [roots, key, entries] = ["roots", "roots.pub", "ledger.jsonl"].map(|name| copy.path().join(name));
    std::fs::create_dir(&roots).unwrap();
    for (name, text) in documents {
        std::fs::write(roots.join(name.replace('/', "-")), text).unwrap();
    }
    std::fs::write(&key, bench.cloud.kms().public_key()).unwrap();
    let items = bench.cloud.dynamodb().dump(LEDGER).unwrap();
    let lines: Vec<String> = items.iter().map(ToString::to_string).collect();
    std::fs::write(&entries, lines.join("\n")).unwrap();
    let (roots, key, entries) = (Some(roots), Some(key), Some(entries));
    let until = until.map(str::to_owned);
    let args = VerifyArgs { data: None, roots, key, entries, until, receipt: None };
    let mut out = Vec::new();
    let sound = verify(&args, bench.clock.now(), &mut out).unwrap();
    (sound, String::from_utf8(out).unwrap())
}

async fn write(bench: &Bench, operation: &str, body: Value) {
    let request = Request::post("http://127.0.0.1:1/")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .body(Bytes::from(body.to_string()))
        .unwrap();
    assert!(bench.cloud.call(request).await.status().is_success());
}

/// Three days with changes, and all that are over sealed.
async fn three_days() -> (Bench, App) {
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    for day in 1..=3 {
        app.order(&format!("a{day}"), &order(day * 10, 0)).await;
        app.order(&format!("b{day}"), &order(day * 10 + 1, 5)).await;
        bench.drain(&app).await;
        app.install_in(&format!("shop-{day}.myshopify.com")).await;
        bench.advance(DAY).await;
    }
    // Started at 16:00: three hours and more after midnight.
    (bench, app)
}

#[tokio::test]
async fn given_days_with_changes_when_they_are_sealed_then_everything_is_as_sealed_and_a_second_run_adds_nothing()
 {
    let (bench, app) = three_days().await;
    assert_eq!(seal(&app).await["acted_on"], 3);
    assert_eq!(seal(&app).await["acted_on"], 0);
    let found = audited(&bench);
    assert_eq!(found.findings, []);
    assert_eq!(
        found.days.iter().map(|day| day.day.as_str()).collect::<Vec<_>>(),
        ["2026-11-20", "2026-11-21", "2026-11-22"]
    );
    assert!(found.days.iter().all(|day| !day.entries.is_empty()));
    // Every entry says who did it.
    for standing in table(&bench).values().flatten() {
        let entry: storeward_store::Entry = serde_json::from_str(&standing.text).unwrap();
        assert!(entry.by.is_some(), "{entry:?}");
    }
    // A day too early is not sealed, an empty day is, and missed days are caught up in their order.
    bench.advance(DAY * 3).await;
    assert_eq!(seal(&app).await["acted_on"], 3);
    let found = audited(&bench);
    assert_eq!((found.findings, found.days.len()), (vec![], 6));
}

#[tokio::test]
async fn given_a_day_that_is_just_over_when_sealing_then_it_waits_for_late_writers() {
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    // 16:00 to 02:00: the day is over for two hours.
    bench.advance(HOUR * 10).await;
    seal(&app).await;
    assert!(!documents(&bench).iter().any(|(name, _)| name.contains("2026-11-20")));
    bench.advance(HOUR).await;
    seal(&app).await;
    assert!(documents(&bench).iter().any(|(name, _)| name.contains("2026-11-20")));
    assert_eq!(audited(&bench).findings, []);
}

#[tokio::test]
async fn given_a_sealed_ledger_when_the_table_is_changed_then_the_very_entry_is_named() {
    let (bench, app) = three_days().await;
    seal(&app).await;
    let before = table(&bench);
    let (day, entries) = before.iter().next().unwrap();
    let one = entries[0].clone();
    let keyed = json!({ "pk": { "S": one.partition }, "sk": { "S": one.name } });
    let item = |name: &str, text: &str| {
        json!({ "TableName": LEDGER, "Item": {
            "pk": { "S": one.partition }, "sk": { "S": name }, "kind": { "S": "ledger" }, "entry": { "S": text },
        }})
    };
    let (of, entry) = (day.clone(), one.name.clone());
    // Deleted.
    write(&bench, "DeleteItem", json!({ "TableName": LEDGER, "Key": keyed })).await;
    assert_eq!(audited(&bench).findings, [Finding::Deleted { day: of.clone(), entry: entry.clone() }]);
    // Moved: the same words, a minute earlier.
    let earlier = one.name.replace("#0017", "#0016");
    write(&bench, "PutItem", item(&earlier, &one.text)).await;
    let moved = Finding::Moved { day: of.clone(), entry: entry.clone(), to: earlier.clone() };
    assert_eq!(audited(&bench).findings, [moved]);
    write(
        &bench,
        "DeleteItem",
        json!({ "TableName": LEDGER, "Key": {
            "pk": { "S": one.partition }, "sk": { "S": earlier },
        }}),
    )
    .await;
    // Altered.
    write(&bench, "PutItem", item(&one.name, &one.text.replace("tests", "nobody"))).await;
    assert_eq!(audited(&bench).findings, [Finding::Altered { day: of.clone(), entry }]);
    write(&bench, "PutItem", item(&one.name, &one.text)).await;
    assert_eq!(audited(&bench).findings, []);
    // Inserted.
    let new = format!("{}0", one.name);
    write(&bench, "PutItem", item(&new, &one.text)).await;
    let inserted = |entry: &str| Finding::Inserted { day: of.clone(), entry: entry.to_owned() };
    assert_eq!(audited(&bench).findings, [inserted(&new)]);
    // And under the name of another, in a partition beside it.
    for partition in ["!", "~"].map(|after| format!("ledger#{of}#{after}")) {
        let mut hidden = item(&one.name, "anything");
        hidden["Item"]["pk"] = json!({ "S": partition });
        write(&bench, "PutItem", hidden).await;
    }
    let hidden = inserted(&one.name);
    assert_eq!(audited(&bench).findings, [hidden.clone(), hidden, inserted(&new)]);
}

#[tokio::test]
async fn given_sealed_days_that_are_gone_when_the_rest_is_verified_then_it_shows_without_being_asked_for() {
    let (bench, app) = three_days().await;
    seal(&app).await;
    let all = documents(&bench);
    let (sound, said) = told(&bench, &all, None);
    assert!(sound && said.ends_with("everything is as it was sealed\n"), "{said}");
    // None of them, and the first alone, where the auditor knows what day it is.
    for kept in [&all[..0], &all[..1]] {
        let (sound, said) = told(&bench, kept, None);
        assert!(!sound && said.contains("2026-11-21: there is no document of this day"), "{said}");
        assert!(!said.contains("everything is as it was sealed"), "{said}");
    }
    // The entries tell it alone: of two days before the newest and earlier.
    let missing =
        |documents: &[(String, String)]| audit(documents, &key(&bench), Some(&table(&bench)), None).findings;
    let day = |day: &str| Finding::DayMissing { day: day.to_owned() };
    assert_eq!(missing(&[]), [day("2026-11-20")]);
    app.install_in("late.myshopify.com").await;
    assert_eq!(missing(&[]), [day("2026-11-21")]);
    assert_eq!(missing(&all[..1]), [day("2026-11-21")]);
    assert_eq!(missing(&all[..2]), []);
    // Sealing that stopped shows in a shop where nothing happens; an old copy is asked for what it can tell.
    bench.advance(DAY * 30).await;
    let (sound, said) = told(&bench, &all, None);
    assert!(!sound && said.contains("2026-12-21: there is no document of this day"), "{said}");
    assert!(told(&bench, &all, Some("2026-11-22")).0);
}

#[tokio::test]
async fn given_a_receipt_when_it_is_checked_alone_then_its_path_leads_to_the_signed_root() {
    let (bench, app) = three_days().await;
    seal(&app).await;
    let (found, table) = (audited(&bench), table(&bench));
    let mut proven = 0;
    for standing in table.values().flatten() {
        let Some(proof) = receipt(&found, Some(&table), &standing.name) else { continue };
        let hash = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap();
        let path: Vec<_> = proof["path"].as_array().unwrap().iter().map(hash).collect();
        let (index, size) = (proof["index"].as_u64().unwrap(), proof["size"].as_u64().unwrap());
        let (index, size) = (usize::try_from(index).unwrap(), usize::try_from(size).unwrap());
        assert!(is_included(&standing.leaf().hash, index, size, &path, &hash(&proof["root"])));
        let mut forged = standing.clone();
        forged.text.push(' ');
        assert!(!is_included(&forged.leaf().hash, index, size, &path, &hash(&proof["root"])));
        proven += 1;
    }
    assert!(proven >= 6, "{proven}");
    assert_eq!(receipt(&found, Some(&table), "nothing"), None);
}

#[tokio::test]
async fn given_a_vault_that_fails_when_sealing_then_nothing_is_lost_and_the_next_run_goes_on() {
    use crate::support::faults::{Fault, FaultPlan};
    let (bench, _) = three_days().await;
    let fresh = bench.app();
    seal(&fresh).await;
    let undisturbed = fresh.connector.requests().len();
    // A day is 16 reads, a signature and a put: around each of the last two, for each of the three days. After them it is
    // looked once for each review whether the deployment is old enough to owe it.
    let sealed = undisturbed - Review::ALL.len();
    for at in [1, 2, 3, 19, 20, 37, 38, 39].map(|back| sealed - back) {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let (bench, _) = three_days().await;
            let failing = bench.app_through(bench.transport(), FaultPlan::none().at(at, fault));
            let event = sample("schedules/seal-ledger/daily");
            let _ended = failing.connector.run(failing.invoke(SEAL, event)).await;
            seal(&bench.app()).await;
            let found = audited(&bench);
            assert_eq!((found.findings, found.days.len()), (vec![], 3), "request {at}, {fault:?}");
        }
    }
    drop(bench);
}

#[tokio::test]
async fn given_nobody_reviewing_when_a_review_is_late_then_it_is_told_every_day_until_it_is_recorded() {
    listen();
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    let told = async |days: u32| {
        bench.advance(DAY * days).await;
        let _before = take_logged();
        seal(&app).await;
        let logged = String::from_utf8(take_logged()).unwrap();
        let lines = logged.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let overdue =
            lines.filter(|line| line["message"] == "a review is overdue" && line["level"] == "ERROR");
        overdue.map(|line| line["review"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    // Given a deployment that begins, then nothing is owed before it is a month old, and then every day
    assert_eq!(told(1).await, none);
    assert_eq!(told(29).await, none);
    assert_eq!(told(3).await, ["access"]);
    assert_eq!(told(1).await, ["access"]);
    // When it is recorded, then it is quiet for the longest month
    app.store().await.record_review(Review::Access).await.unwrap();
    assert_eq!(told(0).await, none);
    assert_eq!(told(31).await, none);
    assert_eq!(told(1).await, ["access"]);
    // And another is not made by it.
    app.store().await.record_review(Review::Access).await.unwrap();
    assert_eq!(told(28).await, ["security"]);
    app.store().await.record_review(Review::Security).await.unwrap();
    assert_eq!(told(0).await, none);
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    assert!(template.contains(r#"'{ $.level = "ERROR" && $.message = "a review is overdue" }'"#));
}

#[tokio::test]
async fn given_nobody_acting_when_something_would_change_then_it_does_not() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let before = bench.dump();
    // The store as functions have it, without a front that says who acts.
    let store = app.context("api/settings").store().await.unwrap();
    assert_eq!(
        store.change_settings(&installation, &GuardSettings::default()).await,
        Err(StoreError::NobodyActs)
    );
    assert_eq!(store.uninstall(&installation, "test").await, Err(StoreError::NobodyActs));
    assert_eq!(bench.dump(), before);
}

#[tokio::test]
async fn given_reads_when_the_log_is_asked_then_each_is_there_for_ninety_days_and_no_address_is() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let (store, shop) = (app.store().await, &installation.tenant.shop);
    let by = By::Merchant("b11d".to_owned());
    let addresses = ["203.0.113.7", "203.0.113.7", "2001:db8::7"];
    for ip in addresses {
        let note = AccessNote {
            by: &by,
            role: None,
            route: "GET /v1/cases",
            status: 200,
            ip: Some(ip),
            request: None,
        };
        store.log_access(shop, &note).await.unwrap();
        bench.advance(HOUR).await;
    }
    bench.advance(DAY).await;
    let note = AccessNote {
        by: &by,
        role: None,
        route: "GET /v1/cases",
        status: 403,
        ip: Some(addresses[0]),
        request: None,
    };
    store.log_access(shop, &note).await.unwrap();
    let range = |before| LogRange {
        since: bench.clock.now() - DAY * 30,
        until: bench.clock.now(),
        generation: None,
        before,
        limit: 3,
    };
    let first = store.access_log(shop, &range(None)).await.unwrap();
    let next = first.next.clone().unwrap();
    assert!(LogRange::is_cursor(&next));
    let second = store.access_log(shop, &range(Some(&next))).await.unwrap();
    let all: Vec<_> = first.entries.iter().chain(&second.entries).collect();
    assert_eq!((all.len(), second.next), (4, None));
    assert_eq!(all.iter().map(|entry| entry.status).collect::<Vec<_>>(), [403, 200, 200, 200]);
    // The same address is known again on its day, and not on another.
    assert_eq!(all[2].ip, all[3].ip);
    assert_ne!(all[1].ip, all[2].ip);
    assert_ne!(all[0].ip, all[3].ip);
    let stored = format!("{:?}", bench.dump());
    assert!(!stored.contains("203.0.113") && !stored.contains("2001:db8"));
    // Somebody else's log is empty, and after the window everybody's.
    let other = store.shop_id(&"other.myshopify.com".parse().unwrap());
    assert_eq!(store.access_log(&other, &range(None)).await.unwrap().entries, []);
    bench.advance(DAY * 91).await;
    assert!(bench.items(Kind::Access.name()).is_empty());
}

/// The lines of the log that tell of accesses to the database.
fn access_lines() -> Vec<Value> {
    let logged = String::from_utf8(take_logged()).unwrap();
    let lines = logged.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["target"] == "database").collect()
}

#[tokio::test]
async fn given_work_at_the_fronts_and_behind_them_when_the_log_is_read_then_each_request_to_the_database_is_a_line_with_who_and_from_where()
 {
    listen();
    let bench = Bench::new().await;
    let first = bench.app();
    let installation = first.install().await;
    let shop = installation.tenant.shop.clone();
    assert!(first.store().await.change_desk(&installation, &Desk::default()).await.unwrap());
    drop(access_lines());
    let app = bench.app();
    // Given an instance that has read nothing yet: how long the installation's data is kept, it has to ask, too.
    app.store().await.desk(&installation).await.unwrap();
    let to_database = |app: &App| -> Vec<String> {
        let requests = app.connector.requests().into_iter().map(|request| request.footprint);
        requests.filter(|of| of.service == "DynamoDB").map(|of| of.operation).collect()
    };
    assert_eq!(to_database(&app), ["GetItem", "GetItem"]);
    app.store().await.member_opened(&installation, "42").await.unwrap();
    for id in 1..=2 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
    }
    bench.drain(&app).await;
    let actor = app.store().await.actor(&shop, "42");
    let mut event = sample("api/cases/list");
    event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": shop, "actor": actor });
    event["requestContext"]["http"]["sourceIp"] = json!("203.0.113.7");
    assert_eq!(app.invoke("api/cases", event).await.unwrap()["statusCode"], 200);
    // Then every request that went out has its line, whatever it was for.
    let lines = access_lines();
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        assert_eq!(line["answered"], true, "{line}");
        *told.entry(line["operation"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for operation in to_database(&app) {
        *asked.entry(operation).or_default() += 1;
    }
    assert_eq!(told, asked);
    assert!(asked["TransactWriteItems"] > 4 && asked["GetItem"] > 4, "{asked:?}");
    // Who read the cases, and from which address, is said as the access log says it, and by nothing else.
    let range = LogRange {
        since: bench.clock.now() - HOUR,
        until: bench.clock.now(),
        generation: None,
        before: None,
        limit: 9,
    };
    let logged = app.store().await.access_log(&shop, &range).await.unwrap().entries.remove(0).ip.unwrap();
    let theirs: Vec<&Value> =
        lines.iter().filter(|line| line["by"].as_str().unwrap().contains(&actor)).collect();
    assert!(theirs.len() >= 3 && theirs.iter().all(|line| line["ip"] == *logged), "{theirs:?}");
    let by = |who: &str| lines.iter().filter(|line| line["by"].as_str().unwrap().contains(who)).count();
    assert!(by("jobs/match-order") > 0 && by("Shopify") > 0, "{lines:?}");
    assert!(lines.iter().all(|line| !line.to_string().contains("203.0.113")));
}

#[tokio::test]
async fn given_a_write_that_was_carried_out_and_never_answered_when_the_log_is_read_then_it_is_there() {
    use crate::support::faults::{Fault, FaultPlan};
    listen();
    let bench = Bench::new().await;
    bench.app().install().await;
    // Given where an order is written, an instance that ends while it waits for the answer.
    let plain = bench.app();
    plain.order("w1", &order(1, 1)).await;
    let is_write =
        |request: &crate::support::connector::Recorded| request.footprint.operation == "TransactWriteItems";
    let at = plain.connector.requests().iter().position(is_write).unwrap();
    let failing = bench.app_through(bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
    drop(access_lines());
    let stored = bench.items("order").len();
    let _crashed = failing.connector.run(failing.order("w2", &order(2, 5))).await;
    assert_eq!(bench.items("order").len(), stored + 1);
    let unanswered: Vec<Value> =
        access_lines().into_iter().filter(|line| line["answered"] == false).collect();
    assert!(
        unanswered.iter().any(|line| line["operation"] == "TransactWriteItems"
            && line["kinds"].as_str().unwrap().contains("order")
            && line["by"].as_str().unwrap().contains("Shopify")),
        "{unanswered:?}"
    );
}

#[tokio::test]
async fn given_changes_when_the_trail_is_asked_then_it_says_who_and_pages_through_days() {
    let (bench, app) = three_days().await;
    let store = app.store().await;
    let shop = store.shop_id(&SHOP.parse().unwrap());
    let until = bench.clock.now();
    let (mut seen, mut next): (Vec<storeward_store::Entry>, Option<String>) = Default::default();
    loop {
        let range =
            LogRange { since: until - DAY * 10, until, generation: None, before: next.as_deref(), limit: 2 };
        let page = store.audit_trail(&shop, &range).await.unwrap();
        seen.extend(page.entries);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].at >= pair[1].at));
    let formed = seen.iter().filter(|entry| entry.what == What::CaseFormed);
    let by: Vec<_> = formed.map(|entry| entry.by.clone().unwrap()).collect();
    assert!(!by.is_empty() && by.iter().all(|by| *by == By::system("jobs/match-order")), "{by:?}");
    assert!(seen.iter().any(|entry| entry.what == What::Installed));
    assert!(seen.iter().all(|entry| entry.shop == shop));
}

proptest! {
    #[test]
    fn days_follow_each_other(number in 0i64..40_000) {
        let day = storeward_core::time::Timestamp(number * 86_400_000);
        prop_assert_eq!(day_after(&day.day()), Some((day + DAY).day()));
    }
}

#[tokio::test]
async fn given_the_documents_alone_when_checked_then_a_missing_last_day_shows() {
    let (bench, app) = three_days().await;
    seal(&app).await;
    let mut documents = documents(&bench);
    documents.pop();
    let (_, found) = check_documents(&documents, &key(&bench), Some("2026-11-22"));
    assert_eq!(found, [Finding::DayMissing { day: "2026-11-22".to_owned() }]);
}
