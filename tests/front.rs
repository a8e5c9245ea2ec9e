//! The front of the webhooks: who is let in, what everyone else is told, and that a refused request changes nothing.
//! What an accepted webhook leads to stands in the scenarios.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storeward_core::oauth::{Access, Scopes};
use storeward_core::time::Timestamp;
use storeward_host::{
    DeskTask, IncidentOrder, MAX_BODY, Notice, ProblemKind, PurgeOrder, ReconcileOrder, RetentionOrder,
    SyncOrder,
};
use storeward_store::{Installation, Profile, Task, Work};

use crate::bench::{App, Bench, SECRETS, SHOP, delivery, root, sample, sample_body, sign, signed_delivery};

/// The webhook functions with their topics and a genuine sample each.
const WEBHOOKS: [(&str, &str, &str); 11] = [
    ("webhooks/orders-create", "orders/create", "webhooks/orders-create/first"),
    ("webhooks/orders-updated", "orders/updated", "webhooks/orders-updated/corrected"),
    ("webhooks/orders-cancelled", "orders/cancelled", "webhooks/orders-cancelled/plain"),
    ("webhooks/orders-fulfilled", "orders/fulfilled", "webhooks/orders-fulfilled/plain"),
    ("webhooks/app-uninstalled", "app/uninstalled", "webhooks/app-uninstalled/plain"),
    ("webhooks/customers-redact", "customers/redact", "webhooks/customers-redact/by-id"),
    ("webhooks/shop-redact", "shop/redact", "webhooks/shop-redact/plain"),
    ("webhooks/customers-data-request", "customers/data_request", "webhooks/customers-data-request/by-id"),
    ("webhooks/customers-update", "customers/update", "webhooks/customers-update/new-email"),
    ("webhooks/app-scopes-update", "app/scopes_update", "webhooks/app-scopes-update/fewer"),
    ("webhooks/shop-update", "shop/update", "webhooks/shop-update/plain"),
];

/// How many of them tell of an order: those share one shape, and their bodies name no shop.
const OF_ORDERS: usize = 4;

/// Topics whose bodies are one shape: what was captured from one reads under the other.
fn same_shape(a: &str, b: &str) -> bool {
    let orders = |topic: &str| topic.starts_with("orders/");
    // Both are shop objects. What a captured one does as an uninstall is decided by asking Shopify: tests/consent.rs.
    let shops = |topic: &str| ["app/uninstalled", "shop/update"].contains(&topic);
    a == b || (orders(a) && orders(b)) || (shops(a) && shops(b))
}

/// Stands in everything that a refused request carries; no answer may hold it.
const CANARY: &str = "canary";

/// A shop with the app and one order in it, at whose front things are tried.
struct Front {
    bench: Bench,
    app: App,
    installation: Installation,
}

impl Front {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let app = bench.app();
        let installation = app.install().await;
        app.order("before", &sample_body("webhooks/orders-create/first")).await;
        bench.drain(&app).await;
        Self { bench, app, installation }
    }

    /// The request is refused with that problem, told as RFC 9457 says, without repeating anything of the request; and
    /// nothing in any table or queue is different from before.
    async fn refuses(&self, function: &str, event: Value, kind: ProblemKind) {
        let before = (self.bench.dump(), self.bench.messages().await);
        let answer = self.app.invoke(function, event).await.unwrap();
        let told = format!("{function}: {answer}");
        assert_eq!(answer["statusCode"], kind.status(), "{told}");
        assert_eq!(answer["headers"]["content-type"], "application/problem+json", "{told}");
        assert_eq!(answer["headers"]["x-content-type-options"], "nosniff", "{told}");
        // Two years, which is what browsers ask for: promise SO60.
        let transport = &answer["headers"]["strict-transport-security"];
        assert_eq!(*transport, "max-age=63072000; includeSubDomains", "{told}");
        assert!(
            answer["headers"]["content-security-policy"].as_str().unwrap().contains("default-src 'none'")
        );
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["type"], format!("urn:storeward:problem:{}", kind.id()), "{told}");
        assert_eq!(body["status"], kind.status(), "{told}");
        assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty());
        assert!(!answer.to_string().to_ascii_lowercase().contains(CANARY), "{told}");
        assert!((self.bench.dump(), self.bench.messages().await) == before, "{told}: something was written");
    }

    async fn accepts(&self, function: &str, event: Value, outcome: &str) {
        let (status, body) = self.app.post(function, event).await;
        assert_eq!((status, &body["outcome"]), (200, &json!(outcome)), "{function}: {body}");
    }
}

fn with_header(mut event: Value, name: &str, value: &str) -> Value {
    event["headers"][name] = json!(value);
    event
}

/// A genuine delivery of raw bytes, as a function URL hands over what is not text.
fn raw_delivery(topic: &str, body: &[u8]) -> Value {
    let event = signed_delivery(topic, CANARY, SHOP, SECRETS[0], "");
    let mut event = with_header(event, "x-shopify-hmac-sha256", &sign(SECRETS[0], body));
    event["body"] = json!(STANDARD.encode(body));
    event["isBase64Encoded"] = json!(true);
    event
}

#[tokio::test(start_paused = true)]
async fn what_is_no_signed_post_is_refused() {
    let front = Front::new().await;
    for (function, topic, name) in WEBHOOKS {
        let genuine = delivery(topic, "genuine", &sample_body(name));
        for method in ["GET", "PUT", "HEAD", "DELETE"] {
            let mut event = genuine.clone();
            event["requestContext"]["http"]["method"] = json!(method);
            front.refuses(function, event, ProblemKind::MethodNotAllowed).await;
        }
        for header in ["hmac-sha256", "topic", "shop-domain", "webhook-id"] {
            let name = format!("x-shopify-{header}");
            let mut event = genuine.clone();
            event["headers"].as_object_mut().unwrap().remove(&name);
            front.refuses(function, event, ProblemKind::MissingHeader).await;
            for bad in [String::new(), CANARY.repeat(100)] {
                let event = with_header(genuine.clone(), &name, &bad);
                front.refuses(function, event, ProblemKind::MissingHeader).await;
            }
        }
        for shop in ["canary.example.com", "canary", "canary_x.myshopify.com", "canary.myshopify.com.example"]
        {
            let event = with_header(genuine.clone(), "x-shopify-shop-domain", shop);
            front.refuses(function, event, ProblemKind::MissingHeader).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_signature_is_refused_before_anything_is_read() {
    let front = Front::new().await;
    for (function, topic, name) in WEBHOOKS {
        let text = sample_body(name).to_string();
        let right = STANDARD.decode(sign(SECRETS[0], text.as_bytes())).unwrap();
        let genuine = signed_delivery(topic, CANARY, SHOP, SECRETS[0], &text);
        let mut flipped = right.clone();
        flipped[31] ^= 1;
        let wrong = [
            sign("canary", text.as_bytes()),
            sign("", text.as_bytes()),
            sign(SECRETS[0], b""),
            STANDARD.encode(&right[..16]),
            STANDARD.encode([right.as_slice(), &[0]].concat()),
            STANDARD.encode(flipped),
            STANDARD.encode(CANARY),
            hex::encode(&right),
            "canary, and no base64!".to_owned(),
        ];
        for signature in wrong {
            let event = with_header(genuine.clone(), "x-shopify-hmac-sha256", &signature);
            front.refuses(function, event, ProblemKind::BadSignature).await;
        }
        // Neither the body nor the topic matters before the signature is right.
        for body in ["", "{\"canary\"", "[]"] {
            let mut event = with_header(genuine.clone(), "x-shopify-topic", CANARY);
            event["body"] = json!(body);
            front.refuses(function, event, ProblemKind::BadSignature).await;
        }
        let mut none = genuine.clone();
        none["body"] = json!(null);
        front.refuses(function, none, ProblemKind::BadSignature).await;
    }
}

#[tokio::test(start_paused = true)]
async fn both_secrets_and_both_generations_of_header_names_are_accepted() {
    let front = Front::new().await;
    let mut body = sample_body("webhooks/orders-create/second-same-person");
    let previous = signed_delivery("orders/create", "rotated", SHOP, SECRETS[1], &body.to_string());
    front.accepts("webhooks/orders-create", previous, "accepted").await;
    // The next generation of events names its headers without the X, and header names have no case.
    for (id, prefix) in [(11, "shopify-"), (12, "X-Shopify-"), (13, "Shopify-")] {
        body["id"] = json!(id);
        let mut event = delivery("orders/create", &format!("renamed-{id}"), &body);
        let headers = event["headers"].as_object_mut().unwrap();
        for name in ["hmac-sha256", "topic", "shop-domain", "webhook-id"] {
            let value = headers.remove(&format!("x-shopify-{name}")).unwrap();
            headers.insert(format!("{prefix}{name}"), value);
        }
        front.accepts("webhooks/orders-create", event, "accepted").await;
    }
    body["id"] = json!(14);
    let shouted = delivery("orders/create", "shouted", &body);
    let shouted = with_header(shouted, "x-shopify-shop-domain", &SHOP.to_ascii_uppercase());
    front.accepts("webhooks/orders-create", shouted, "accepted").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_for_another_topic_is_refused() {
    let front = Front::new().await;
    for (function, topic, name) in WEBHOOKS {
        let large = format!("{{\"canary\":\"{}\"}}", " ".repeat(MAX_BODY));
        let event = signed_delivery(topic, CANARY, SHOP, SECRETS[0], &large);
        front.refuses(function, event, ProblemKind::BodyTooLarge).await;
        front.refuses(function, raw_delivery(topic, large.as_bytes()), ProblemKind::BodyTooLarge).await;
        let others = ["customers/data_request", "customers/redact", "canary/topic", "ORDERS/CREATE"];
        for other in others.into_iter().filter(|other| *other != topic) {
            let event = delivery(other, CANARY, &sample_body(name));
            front.refuses(function, event, ProblemKind::WrongTopic).await;
        }
        let mut garbled = delivery(topic, CANARY, &sample_body(name));
        garbled["isBase64Encoded"] = json!(true);
        front.refuses(function, garbled, ProblemKind::MalformedBody).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_signed_body_that_is_not_the_topics_is_refused_and_nothing_is_written() {
    let front = Front::new().await;
    for (function, topic, name) in WEBHOOKS {
        let genuine = sample_body(name).to_string();
        let id = if genuine.contains("\"shop_id\"") { "shop_id" } else { "id" };
        let deep = format!("{{\"{id}\":1,\"canary\":{}", "[".repeat(200_000));
        let closed = format!("{deep}{}}}", "]".repeat(200_000));
        let bodies = [
            String::new(),
            "null".to_owned(),
            "[]".to_owned(),
            "\"canary\"".to_owned(),
            "{\"canary\":1}".to_owned(),
            genuine[..genuine.len() - 1].to_owned(),
            genuine[..genuine.len() / 2].to_owned(),
            format!("{genuine} canary"),
            format!("{genuine}{genuine}"),
            // The same key twice: which one counts must not be up to a parser.
            format!("{{\"{id}\":1,{}", &genuine[1..]),
            format!("{{\"{id}\":\"canary\",{}", genuine[1..].replacen(id, "canary", 1)),
            format!("\u{feff}{genuine}"),
            deep,
            closed,
        ];
        for body in bodies {
            let event = signed_delivery(topic, CANARY, SHOP, SECRETS[0], &body);
            front.refuses(function, event, ProblemKind::MalformedBody).await;
        }
        // Bytes that are no UTF-8, in a value nobody reads and instead of the whole.
        let unread = [b"{\"canary\":\"\xff\xfe\",", &genuine.as_bytes()[1..]].concat();
        let utf16: Vec<u8> = genuine.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for body in [&unread, &utf16, &vec![0xff; 64]] {
            front.refuses(function, raw_delivery(topic, body), ProblemKind::MalformedBody).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_captured_from_one_topic_does_nothing_under_another() {
    let front = Front::new().await;
    let captured = json!({
        "shop_id": 70_000_000_001_u64, "shop_domain": SHOP, "orders_requested": [9_100_000_000_000_000_001_u64],
        "customer": {"id": 9_200_000_000_000_000_001_u64, "email": "canary@example.com", "phone": null},
        "data_request": {"id": 1},
    });
    // While the app is installed, and when it is not any more: then shop/redact would destroy.
    for state in ["installed", "uninstalled"] {
        if state == "uninstalled" {
            let genuine = sample("webhooks/app-uninstalled/plain");
            front.accepts("webhooks/app-uninstalled", genuine, "accepted").await;
        }
        for (function, topic, _) in WEBHOOKS.iter().filter(|(_, topic, _)| *topic != "customers/data_request")
        {
            let event = delivery(topic, "replayed", &captured);
            front.refuses(function, event, ProblemKind::MalformedBody).await;
        }
        for (function, topic, _) in WEBHOOKS {
            for (_, _, name) in WEBHOOKS.iter().filter(|(_, other, _)| !same_shape(topic, other)) {
                let event = delivery(topic, "replayed", &sample_body(name));
                front.refuses(function, event, ProblemKind::MalformedBody).await;
            }
        }
    }
    assert!(front.app.store().await.tenant(&front.installation.tenant).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_told_of_an_order_changes_nothing_under_another_topic() {
    // Given an order that every topic has told of, in the order in which it happened.
    let front = Front::new().await;
    for (place, (function, topic, name)) in WEBHOOKS[..OF_ORDERS].iter().enumerate() {
        let told =
            front.app.post(function, delivery(topic, &format!("told-{place}"), &sample_body(name))).await;
        assert_eq!(told.0, 200, "{topic}: {}", told.1);
        front.bench.drain(&front.app).await;
    }
    let kept = || ["order", "match", "subject", "case"].map(|kind| front.bench.items(kind));
    let before = kept();
    assert_eq!(before[0].len(), 1);
    // When each body is replayed under each topic, then nothing that is kept of the order is another.
    for (function, topic, _) in &WEBHOOKS[..OF_ORDERS] {
        for (place, (_, _, name)) in WEBHOOKS[..OF_ORDERS].iter().enumerate() {
            let event = delivery(topic, &format!("replayed-{topic}-{place}"), &sample_body(name));
            let (status, body) = front.app.post(function, event).await;
            assert_eq!(status, 200, "{name} as {topic}: {body}");
            front.bench.drain(&front.app).await;
            assert!(kept() == before, "{name} as {topic}: {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shop_is_only_spoken_for_by_its_own_signed_body() {
    let front = Front::new().await;
    let other = "canary-other.myshopify.com";
    let profile = Profile {
        domain: other.parse().unwrap(),
        email: None,
        plan: None,
        shopify_id: Some(70_000_000_002),
        public_domain: None,
    };
    front.app.store().await.install(&profile).await.unwrap();
    for (function, topic, name) in &WEBHOOKS[OF_ORDERS..] {
        let event = signed_delivery(topic, CANARY, other, SECRETS[0], &sample_body(name).to_string());
        if *topic == "customers/update" {
            // It names no shop. A shop to which the account was never a customer knows nothing to change.
            front.accepts(function, event, "nothing_to_do").await;
        } else {
            front.refuses(function, event, ProblemKind::ShopMismatch).await;
        }
    }
    // A shop without the app: an order is refused, so that Shopify sends it again should the install be under way; the
    // others have nothing to do.
    let stranger = "canary-stranger.myshopify.com";
    for (function, topic, name) in &WEBHOOKS[..OF_ORDERS] {
        let event = signed_delivery(topic, CANARY, stranger, SECRETS[0], &sample_body(name).to_string());
        front.refuses(function, event, ProblemKind::NotInstalled).await;
    }
    for (function, topic, name) in &WEBHOOKS[OF_ORDERS..] {
        let body = sample_body(name).to_string().replace(SHOP, stranger);
        let event = signed_delivery(topic, "stranger", stranger, SECRETS[0], &body);
        front.accepts(function, event, "nothing_to_do").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_and_an_order_count_once() {
    let front = Front::new().await;
    let orders = front.bench.items("order").len();
    let body = sample_body("webhooks/orders-create/second-same-person");
    front.accepts("webhooks/orders-create", delivery("orders/create", "once", &body), "accepted").await;
    front.accepts("webhooks/orders-create", delivery("orders/create", "once", &body), "duplicate").await;
    front.accepts("webhooks/orders-create", delivery("orders/create", "twice", &body), "duplicate").await;
    front.bench.drain(&front.app).await;
    assert_eq!(front.bench.items("order").len(), orders + 1);
    assert_eq!(front.app.cases(&front.installation).await.len(), 1);
}

/// The committed samples under `events/<group>`: function, sample name, path below `events/`.
fn samples(group: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for function in std::fs::read_dir(root().join("events").join(group)).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        for file in std::fs::read_dir(root().join("events").join(group).join(&function)).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let name = file.strip_suffix(".json").unwrap();
            found.push((format!("{group}/{function}"), format!("{group}/{function}/{name}")));
        }
    }
    found.sort();
    found
}

/// Connects the samples' shop before anything that the samples tell of.
async fn connect(app: &App) -> Installation {
    let at = Timestamp::parse_rfc3339("2026-11-20T14:00:00Z").unwrap();
    let profile = Profile {
        domain: SHOP.parse().unwrap(),
        email: None,
        plan: None,
        shopify_id: Some(70_000_000_001),
        public_domain: None,
    };
    let access = Access::lasting("test-access-token", Scopes::parse("read_orders,write_orders"), at);
    app.store().await.connect(&profile, at, &access, at).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_committed_webhook_is_signed_and_accepted() {
    for (function, name) in samples("webhooks") {
        let event = sample(&name);
        let text = event["body"].as_str().unwrap();
        let bytes =
            if event["isBase64Encoded"] == true { STANDARD.decode(text).unwrap() } else { text.into() };
        assert_eq!(event["headers"]["x-shopify-hmac-sha256"], sign(SECRETS[0], &bytes), "{name}");
        assert_eq!(event["headers"]["content-length"], bytes.len().to_string(), "{name}");
        let bench = Bench::new().await;
        let app = bench.app();
        // Where there are tokens, Shopify is asked whether the app is gone: tests/consent.rs.
        let ends = ["webhooks/app-uninstalled", "webhooks/shop-redact"].contains(&function.as_str());
        let installation = if ends { app.install().await } else { connect(&app).await };
        if function == "webhooks/shop-redact" {
            app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
        } else if function != "webhooks/orders-create" {
            // The order that the samples are about.
            app.order("before", &sample_body("webhooks/orders-create/first")).await;
            bench.drain(&app).await;
        }
        let front = Front { bench, app, installation };
        let outcome = if name.ends_with("test-order") { "nothing_to_do" } else { "accepted" };
        front.accepts(&function, event, outcome).await;
        front.bench.drain(&front.app).await;
        let gone = ["test-order", "shop-redact/plain", "customers-redact/by-id"];
        let kept = !gone.iter().any(|end| name.ends_with(end));
        assert_eq!(front.bench.items("order").len(), usize::from(kept), "{name}");
        // What waits is the second pass of an erasure, and a purge for the writers that began before the uninstall.
        let waits = ["webhooks/customers-redact", "webhooks/shop-redact"];
        let waiting = u64::from(waits.contains(&function.as_str()));
        assert_eq!(front.bench.messages().await, waiting, "{name}");
    }
}

/// A message read and written again.
fn again<M: DeserializeOwned + Serialize>(body: &str) -> Value {
    serde_json::to_value(serde_json::from_str::<M>(body).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_committed_message_is_a_real_one_and_every_event_is_answered() {
    let front = Front::new().await;
    for (function, name) in samples("jobs") {
        let event = sample(&name);
        for record in event["Records"].as_array().unwrap() {
            let body = record["body"].as_str().unwrap();
            let written_again = match function.as_str() {
                "jobs/purge-shop" => again::<PurgeOrder>(body),
                "jobs/reconcile-shop" => again::<ReconcileOrder>(body),
                "jobs/notify-merchant" => again::<Notice>(body),
                "jobs/match-order" => again::<Task>(body),
                "jobs/apply-retention" => again::<RetentionOrder>(body),
                "jobs/handle-incident" => again::<IncidentOrder>(body),
                "jobs/sync-mailbox" => again::<SyncOrder>(body),
                "jobs/classify-email" | "jobs/draft-reply" | "jobs/send-reply" => again::<DeskTask>(body),
                _ => again::<Work>(body),
            };
            assert_eq!(serde_json::from_str::<Value>(body).unwrap(), written_again, "{name}");
        }
        // They are about an installation that this deployment does not know: there is nothing to try again.
        let answer = front.app.invoke(&function, event).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{name}");
    }
    for (function, name) in samples("schedules") {
        assert!(front.app.invoke(&function, sample(&name)).await.unwrap()["acted_on"].is_u64(), "{name}");
    }
}

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key =
            prop_oneof![Just("id"), Just("shop_id"), Just("shop_domain"), Just("customer"), Just("email")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

#[test]
fn nothing_that_a_stranger_sends_is_a_panic_or_a_write() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let front = runtime.block_on(Front::new());
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        any_json().prop_map(|value| value.to_string().into_bytes()),
    ];
    let header = prop_oneof![any::<String>(), Just("x".to_owned())];
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let strategy = (0..WEBHOOKS.len(), body, any::<bool>(), header.clone(), header);
    let tried = runner.run(&strategy, |(webhook, body, signed, id, signature)| {
        let (function, topic, _) = WEBHOOKS[webhook];
        let mut event = with_header(raw_delivery(topic, &body), "x-shopify-webhook-id", &id);
        if !signed {
            event = with_header(event, "x-shopify-hmac-sha256", &signature);
        }
        runtime.block_on(async {
            let before = (front.bench.dump(), front.bench.messages().await);
            let answer = front.app.invoke(function, event).await.unwrap();
            let status = answer["statusCode"].as_u64().unwrap();
            prop_assert!((400..500).contains(&status), "{}", answer);
            prop_assert!((front.bench.dump(), front.bench.messages().await) == before);
            Ok(())
        })
    });
    tried.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_captured_body_of_another_topic_or_shop_changes_nothing() {
    // Given a shop whose number is known, and one whose number is another.
    let bench = Bench::new().await;
    let app = bench.app();
    app.install().await;
    let before = bench.dump();
    // When a shop object is replayed as an order, and another shop's uninstall, without a domain, as this one's.
    let shop = sample_body("webhooks/app-uninstalled/null-domain");
    let as_order = app.post("webhooks/orders-create", delivery("orders/create", "w1", &shop)).await;
    let mut of_another = shop.clone();
    of_another["id"] = json!(70_000_000_002_u64);
    let as_ours = app.post("webhooks/app-uninstalled", delivery("app/uninstalled", "w2", &of_another)).await;
    // Then both are refused.
    assert_eq!((as_order.0, &as_order.1["type"]), (400, &json!("urn:storeward:problem:malformed-body")));
    assert_eq!((as_ours.0, &as_ours.1["type"]), (400, &json!("urn:storeward:problem:shop-mismatch")));
    assert_eq!(bench.dump(), before);
}
