//! The end of the service as the merchant chooses, in the app or in writing: everything given back, complete and once; everything deleted, whatever
//! happens on the way; and nothing seen of the shop from the first moment on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use storeward_core::data_map::{Category, Kind, Processor};
use storeward_core::guard::{Alert, Decision, GuardSettings};
use storeward_core::limits::Limit;
use storeward_core::normalize::identifiers;
use storeward_core::personal::Personal;
use storeward_core::retention::Choice;
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind};
use storeward_core::time::{Clock as _, HOUR, MINUTE};
use storeward_store::{Asking, Installation, What};

use crate::bench::{App, SHOP, order, sample};
use crate::consent::World;
use crate::mailboxes::{ADDRESS, World as Mailboxes};
use crate::support::connector::Outcome;
use crate::support::faults::{Fault, FaultPlan};

/// A request to the API as the shop's owner makes it.
async fn ask(app: &App, shop: &Installation, event: &str, change: impl FnOnce(&mut Value)) -> (u64, Value) {
    let mut event = sample(event);
    let store = app.store().await;
    let actor = store.actor(&shop.tenant.shop, "42");
    event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": shop.tenant.shop, "actor": actor });
    change(&mut event);
    let function =
        if event["rawPath"].as_str().unwrap().contains("/service/") { "api/service" } else { "api/savings" };
    let answer = app.invoke(function, event).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), body)
}

async fn owned() -> (World, App, Installation) {
    let (world, app, installation) = World::connected().await;
    app.store().await.member_opened(&installation, "42").await.unwrap();
    (world, app, installation)
}

async fn page(app: &App, shop: &Installation, cursor: Option<&str>) -> (u64, Value) {
    ask(app, shop, "api/service/export", |event| {
        event["queryStringParameters"] = json!({ "limit": "3" });
        if let Some(cursor) = cursor {
            event["queryStringParameters"]["cursor"] = json!(cursor);
        }
    })
    .await
}

#[tokio::test]
async fn everything_is_given_back_once_and_to_this_shop_alone() {
    // Given orders, a case, a decision and an exception
    let (world, app, shop) = owned().await;
    for id in 1..=7 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
    }
    world.bench.drain(&app).await;
    let case = app.cases(&shop).await.remove(0).reference;
    app.store().await.decide(&shop, &case, Decision::NeverThisHousehold, None).await.unwrap();

    // When the merchant asks page by page
    let (mut records, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let (status, body) = page(&app, &shop, cursor.as_deref()).await;
        assert_eq!(status, 200, "{body}");
        let read = body["records"].as_array().unwrap();
        assert!(read.len() <= 3);
        records.extend(read.iter().cloned());
        cursor = body["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }

    // Then every record is there once, opened
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        *kinds.entry(record["kind"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!((kinds["shop"], kinds["order"], kinds["case"]), (1, 7, 1), "{kinds:?}");
    assert!(kinds["exception"] >= 1 && kinds["statistics"] >= 1, "{kinds:?}");
    let numbers: BTreeSet<u64> = records
        .iter()
        .filter(|record| record["kind"] == "order")
        .map(|record| {
            record["data"]["record"]["order"]["id"]
                .as_u64()
                .or_else(|| record["data"]["record"]["id"].as_u64())
        })
        .map(|id| id.expect("an order's number"))
        .collect();
    assert_eq!(numbers, (1..=7).collect());
    let text = json!(records).to_string();
    assert!(text.contains("merchant@example.com"), "what is known of the shop");

    // And a cursor is good for nothing else
    let (_, first) = page(&app, &shop, None).await;
    let cursor = first["next"].as_str().unwrap().to_owned();
    let mut other = cursor.clone().into_bytes();
    let last = other.len() - 1;
    other[last] = if other[last] == b'0' { b'1' } else { b'0' };
    for hostile in ["", "x", "é", &"0".repeat(40), &String::from_utf8(other).unwrap()] {
        assert_eq!(page(&app, &shop, Some(hostile)).await.0, 400, "{hostile}");
    }
}

/// What is not given back although something of the merchant or its customers is in it, and why.
const NOT_GIVEN_BACK: [(Kind, &str); 2] = [
    (Kind::Rectification, "it is being written into the orders, which are given back"),
    (Kind::Export, "copies that were made for a person: what they were made of is given back"),
];

#[tokio::test]
async fn every_kind_that_has_something_of_the_merchant_or_its_customers_is_given_back() {
    // Given something of every kind
    let (world, app, shop) = owned().await;
    let store = app.store().await;
    let email = "sample.customer@example.com";
    world.bench.two_orders(&app).await;
    let case = app.cases(&shop).await.remove(0).reference;
    store.decide(&shop, &case, Decision::NeverThisCustomer, None).await.unwrap();
    Box::pin(crate::mail_store::whole_desk_of(store, &shop, world.bench.clock.now(), email)).await;
    let mut desk = store.desk(&shop).await.unwrap();
    desk.settings.signature = Personal::new("Sample signature".to_owned());
    assert!(store.change_desk(&shop, &desk).await.unwrap());
    store.choose_retention(&shop, &Choice::of([(Kind::Mail, 17)]).unwrap()).await.unwrap();
    assert!(store.object(&shop, Processor::Anthropic, true).await.unwrap());
    let person = Person { email: Some(email.to_owned().into()), ..Person::default() };
    let known = identifiers(&[&email.to_owned().into()], &[], None);
    let (kind, by, corrections) = (RightsKind::Restriction, OpenedBy::Merchant, Corrections::default());
    let acceptance = store.open_request(&shop, "limits", &Asking { kind, by, person, corrections }).unwrap();
    let asked = acceptance.work().record.clone();
    store.commit(acceptance).await.unwrap();
    store.limit_subject(&shop, &known, Limit::Restricted, &asked).await.unwrap();

    // When the merchant asks for everything
    let (mut records, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let (status, body) = page(&app, &shop, cursor.as_deref()).await;
        assert_eq!(status, 200, "{body}");
        records.extend(body["records"].as_array().unwrap().iter().cloned());
        cursor = body["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }

    // Then nothing is missing but what has a reason; keyed hashes alone lead to what is given back, or nowhere
    let given: BTreeSet<&str> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    for kind in Kind::ALL {
        let theirs = kind.row().categories.iter().any(|category| *category != Category::Pseudonym);
        let left = NOT_GIVEN_BACK.iter().any(|(known, _)| *known == kind);
        assert!(!left || theirs && !given.contains(kind.name()), "{}", kind.name());
        assert!(left || !theirs || given.contains(kind.name()), "{} is missing: {given:?}", kind.name());
    }
    // And what the merchant decided is among it, and what Google gave is not
    let of = |kind: &str| {
        let mut of = records.iter().filter(|record| record["kind"] == kind);
        (of.next().unwrap_or_else(|| panic!("{kind}"))["data"].clone(), of.count())
    };
    let ((about, others), (members, _), (desk, _)) = (of("shop"), of("member"), of("desk"));
    assert_eq!((&about["retention_days"], others), (&json!({ "mail": 17 }), 0));
    assert!(about["objections"]["anthropic"].is_string(), "{about}");
    assert_eq!((&members["list"][0]["user"], &members["list"][0]["role"]), (&json!("42"), &json!("owner")));
    assert_eq!(desk["settings"]["signature"], "Sample signature");
    assert!(desk["rules"].is_array() && desk["macros"].is_array(), "{desk}");
    let (mailbox, _) = of("mailbox");
    assert!(mailbox["record"]["address"].is_string(), "{mailbox}");
    assert!(mailbox.get("mail_tokens").is_none() && mailbox.get("full_sync").is_none(), "{mailbox}");
}

#[tokio::test]
async fn a_merchant_who_ends_the_service_is_purged_at_once_and_access_is_revoked_at_shopify() {
    let (world, app, shop) = owned().await;
    app.order("w1", &order(1, 1)).await;
    world.bench.drain(&app).await;
    let token = app.context("api/service").admin_access(&shop).await.unwrap().unwrap().token;
    assert!(world.works(&token).await);

    // Given a slip: nothing happens
    let slip = |event: &mut Value| event["body"] = json!("{\"confirm\":\"another.myshopify.com\"}");
    assert_eq!(ask(&app, &shop, "api/service/end", slip).await.0, 400);
    assert!(world.works(&token).await);

    // When it is meant
    let (status, body) = ask(&app, &shop, "api/service/end", meant).await;
    assert_eq!(status, 202, "{body}");

    // Then access has ended on both sides, and nothing of the shop is shown or taken any more
    assert!(!world.works(&token).await);
    let ended = app.store().await.tenant(&shop.tenant).await.unwrap().unwrap();
    assert!(app.context("api/service").admin_access(&ended).await.unwrap().is_none());
    for (status, problem) in
        [ask(&app, &shop, "api/savings/year", |_| {}).await, page(&app, &shop, None).await]
    {
        assert_eq!((status, problem["type"].as_str()), (404, Some("urn:storeward:problem:not-installed")));
    }

    // And minutes later nothing is left, with a receipt that says why
    tokio::time::pause();
    world.bench.advance(MINUTE * 16).await;
    world.bench.drain(&app).await;
    tokio::time::resume();
    assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new());
    let store = app.store().await;
    let now = storeward_core::time::Clock::now(&world.bench.clock);
    let entries = store.ledger_of(&shop.tenant.shop, now).await.unwrap();
    let receipt = entries.iter().find(|entry| entry.what == What::ShopPurged).expect("a receipt");
    assert_eq!(receipt.why, "the merchant's request");
    assert!(
        entries.iter().any(|entry| entry.what == What::Uninstalled && entry.why == "the merchant's request")
    );
}

/// What an operator asks for the shop by a sample.
async fn operator(app: &App, shop: &Installation, name: &str, body: &Value) -> (u64, Value) {
    let mut event = sample(&format!("operator/shops/{name}"));
    event["pathParameters"]["shop"] = json!(shop.tenant.shop);
    if !body.is_null() {
        event["body"] = json!(body.to_string());
    }
    let answer = app.invoke("operator/shops", event).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), body)
}

#[tokio::test]
async fn an_operator_ends_the_service_on_the_merchants_written_word_and_the_ledger_says_who_and_why() {
    let (world, app, shop) = owned().await;
    app.order("w1", &order(1, 1)).await;
    world.bench.drain(&app).await;
    let token = app.context("api/service").admin_access(&shop).await.unwrap().unwrap().token;

    // Given a slip, or a reference that could be about somebody: nothing happens, and nothing of it is said again
    let slips = [
        json!({ "confirm": "another.myshopify.com", "reference": "T-2026-17" }),
        json!({ "confirm": SHOP, "reference": "canary@example.com" }),
        json!({ "confirm": SHOP, "reference": "CANARY" }),
        json!({ "confirm": SHOP, "reference": "" }),
        json!({ "confirm": SHOP, "reference": "1".repeat(41) }),
        json!({ "confirm": SHOP }),
        json!({ "confirm": SHOP, "reference": "T-2026-17", "at_once": true }),
    ];
    for slip in slips {
        let (status, said) = operator(&app, &shop, "end", &slip).await;
        assert_eq!(
            (status, said["type"].as_str()),
            (400, Some("urn:storeward:problem:invalid-body")),
            "{slip}"
        );
        assert!(!said.to_string().to_lowercase().contains("canary"), "{said}");
    }
    assert!(world.works(&token).await);

    // When it is meant
    let (status, body) = operator(&app, &shop, "end", &Value::Null).await;
    assert_eq!(status, 202, "{body}");

    // Then access has ended on both sides, once
    assert!(!world.works(&token).await);
    let (status, again) = operator(&app, &shop, "end", &Value::Null).await;
    assert_eq!((status, again["type"].as_str()), (404, Some("urn:storeward:problem:not-installed")));

    // And minutes later nothing is left, and the ledger, which operators still read, says which operator did it and why
    tokio::time::pause();
    world.bench.advance(MINUTE * 16).await;
    world.bench.drain(&app).await;
    tokio::time::resume();
    assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new());
    let (status, ledger) = operator(&app, &shop, "ledger", &Value::Null).await;
    assert_eq!(status, 200, "{ledger}");
    let of = |what: &str| {
        let mut entries = ledger["entries"].as_array().unwrap().iter();
        entries.find(|entry| entry["what"] == what).unwrap_or_else(|| panic!("no {what}")).clone()
    };
    let (asked, uninstalled, purged) = (of("ending-asked"), of("uninstalled"), of("shop-purged"));
    assert_eq!(asked["by"], uninstalled["by"]);
    assert_eq!(uninstalled["by"], json!({ "kind": "operator", "id": "fedcba9876543210fedcba9876543210" }));
    for entry in [&asked, &uninstalled, &purged] {
        assert_eq!(entry["why"], "the merchant's written request T-2026-17");
    }
    assert!(purged["receipt"]["digest"].is_string());
    // It reads where the shop stood, and of a shop that never was there is nothing to read
    let never = app.store().await.shop_id(&"never-installed.myshopify.com".parse().unwrap());
    let mut event = sample("operator/shops/ledger");
    event["pathParameters"]["shop"] = json!(never);
    let answer = app.invoke("operator/shops", event).await.unwrap();
    assert_eq!(answer["body"], json!(r#"{"entries":[],"next":null}"#));
}

#[tokio::test]
async fn wherever_ending_stops_shopifys_webhook_does_the_rest() {
    for at in 0.. {
        let (world, app, shop) = owned().await;
        app.order("w1", &order(1, 1)).await;
        world.bench.drain(&app).await;
        let faulty =
            world.bench.app_through(world.bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let ended = faulty.connector.run(ask(&faulty, &shop, "api/service/end", meant)).await;
        let finished = matches!(ended, Outcome::Finished(_));
        let token = app.store().await.tenant(&shop.tenant).await.unwrap();
        if token.is_some() && world.shopify.is_installed(SHOP) {
            // Nothing was done: the merchant asks again.
            assert_eq!(ask(&app, &shop, "api/service/end", meant).await.0, 202, "crashed at {at}");
        } else {
            // Shopify tells of the uninstall, as it does.
            app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
        }
        tokio::time::pause();
        world.bench.advance(HOUR * 37).await;
        world.bench.live(&app, 2).await;
        tokio::time::resume();
        assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new(), "crashed at {at}");
        if finished {
            assert!(at > 4, "it made {at} requests only");
            break;
        }
    }
}

/// The owner ends the service, and means it.
fn meant(event: &mut Value) {
    event["body"] = json!(json!({ "confirm": SHOP }).to_string());
}

#[tokio::test]
async fn a_closed_shop_is_deleted_on_its_merchants_word_although_shopify_lets_nobody_in() {
    for (status, age) in [
        (StatusCode::PAYMENT_REQUIRED, Duration::ZERO),
        (StatusCode::NOT_FOUND, Duration::ZERO),
        (StatusCode::LOCKED, HOUR * 5),
    ] {
        // Given a shop that is closed, with a token that counts or one that has to be renewed
        let (world, app, shop) = owned().await;
        world.bench.clock.advance(age);
        world.shopify.fail_next(status);
        // When its merchant writes
        let (answered, body) = operator(&app, &shop, "end", &Value::Null).await;
        // Then it is deleted all the same
        assert_eq!(answered, 202, "{status}: {body}");
        tokio::time::pause();
        world.bench.advance(MINUTE * 16).await;
        world.bench.drain(&app).await;
        tokio::time::resume();
        assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new(), "{status}");
    }
}

#[tokio::test]
async fn a_refusal_that_does_not_prove_an_uninstall_ends_nothing() {
    let (world, app, shop) = owned().await;
    let token = app.context("api/service").admin_access(&shop).await.unwrap().unwrap().token;
    // Given that Shopify refuses the address that calls, once or for good
    for refusals in [1, 2] {
        for _ in 0..refusals {
            world.shopify.fail_next(StatusCode::FORBIDDEN);
        }
        // When the merchant ends the service
        assert_eq!(ask(&app, &shop, "api/service/end", meant).await.0, 503, "{refusals}");
        // Then nothing has ended, and the tokens are there to end it with
        let row = app.store().await.tenant(&shop.tenant).await.unwrap().unwrap();
        assert!(row.is_installed() && row.access().unwrap().is_some(), "{refusals}");
        assert!(world.works(&token).await && world.shopify.is_installed(SHOP), "{refusals}");
    }
    // And where the app was uninstalled before, it ends
    world.shopify.uninstall(SHOP);
    assert_eq!(ask(&app, &shop, "api/service/end", meant).await.0, 202);
}

#[tokio::test]
async fn a_digest_that_waits_for_tomorrow_leaves_nothing_behind() {
    // Given a case that is in tomorrow's digest
    let (world, app, shop) = owned().await;
    let digest = GuardSettings { alert: Alert::Digest, digest_hour: 7, ..GuardSettings::default() };
    assert!(app.store().await.change_settings(&shop, &digest).await.unwrap());
    world.bench.two_orders(&app).await;
    assert_eq!(world.bench.items("digest").len(), 1);
    // When the merchant ends the service
    assert_eq!(ask(&app, &shop, "api/service/end", meant).await.0, 202);
    tokio::time::pause();
    world.bench.advance(MINUTE * 16).await;
    world.bench.drain(&app).await;
    tokio::time::resume();
    // Then nothing is left, as the receipt says
    assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new());
}

#[tokio::test]
async fn everything_is_deleted_at_once_but_not_before_google_took_the_consent_back() {
    // Given a mailbox, and a Google that fails when the service is ended and a quarter of an hour later
    let world = Mailboxes::connected().await;
    let tenant = &world.installation.tenant;
    for _ in 0..2 {
        world.google.fail_tokens_next(StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(ask(&world.app, &world.installation, "api/service/end", meant).await.0, 202);
    world.bench.drain(&world.app).await;
    world.advance(MINUTE * 16).await;
    world.bench.drain(&world.app).await;
    assert_eq!((world.bench.items("mailbox").len(), world.google.consents(ADDRESS)), (1, 1));
    // When it answers again
    for _ in 0..2 {
        world.advance(MINUTE * 16).await;
        world.bench.drain(&world.app).await;
    }
    // Then the consent is given back, and nothing is left
    assert_eq!((world.google.consents(ADDRESS), world.google.watched_until(ADDRESS)), (0, None));
    assert_eq!(world.bench.left_of(tenant), Vec::<String>::new());
}
