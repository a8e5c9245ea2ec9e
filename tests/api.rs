//! The merchants' API through the local stack, with real session tokens: who is let in, what cases, decisions, exceptions
//! and savings come to, and what is refused. Shapes and routes are held against the document in `ledgers`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use ring::hmac;
use serde_json::{Value, json};
use storeward_core::guard::Decision;
use storeward_core::time::{DAY, HOUR, MINUTE, Timestamp};
use storeward_local::runtime::LocalStack;
use storeward_local::runtime::bundle::{Bundle, Keep, Options};
use storeward_store::{Acting, Arrival, ArrivedMail, By, CaseFilter, CaseState, Deciding, Profile, Store};
use tokio::task::JoinHandle;

use crate::bench::{Bench, CLIENT_ID, SECRETS, SHOP, START, order, root, sample, sign};
use crate::mail_store::{connect, understanding};

/// A shop beside the samples' one.
const OTHER: &str = "other-shop.myshopify.com";

/// A 32-digit name of nothing.
const NOTHING: &str = "00112233445566778899aabbccddeeff";

/// A session token of a shop's admin, as Shopify signs it; `twist` makes it another one before it is signed.
pub fn token(shop: &str, secret: &str, now: Timestamp, twist: impl Fn(&mut Value)) -> String {
    let mut claims = json!({
        "iss": format!("https://{shop}/admin"), "dest": format!("https://{shop}"), "aud": CLIENT_ID, "sub": "42",
        "exp": now.seconds() + 60, "nbf": now.seconds(), "iat": now.seconds(), "jti": "test", "sid": "test",
    });
    twist(&mut claims);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

/// The bundle on loopback.
struct Local {
    bundle: Bundle,
    serving: JoinHandle<()>,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Local {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = Options {
            template: std::fs::read_to_string(root().join("template.yaml")).unwrap(),
            client_secrets: SECRETS.map(str::to_owned).to_vec(),
            keep: Keep::Nothing { from: Timestamp::parse_rfc3339(START).unwrap() },
            parameters: BTreeMap::new(),
        };
        let bundle = Bundle::start(options, port).await.unwrap();
        let running = bundle.stack.clone();
        // Served, and not worked off: the tests say when.
        let router = running.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let local = Self { bundle, serving };
        local.install(SHOP).await;
        local
    }

    fn stack(&self) -> &LocalStack {
        &self.bundle.stack
    }

    async fn with_store<T>(&self, with: impl AsyncFnOnce(&Store) -> T) -> T {
        let context = self.bundle.functions.context("api/cases").unwrap();
        let tests = Acting::new(By::system("tests"), None);
        with(&context.store().await.unwrap().standing_for(tests)).await
    }

    async fn install(&self, domain: &str) {
        let profile = Profile {
            domain: domain.parse().unwrap(),
            shopify_id: None,
            email: None,
            plan: None,
            public_domain: None,
        };
        self.with_store(async |store| {
            let installation = store.install(&profile).await.unwrap();
            // Who installs it opens it: the owner, as whom these tests ask.
            store.member_opened(&installation, "42").await.unwrap();
        })
        .await;
    }

    /// An order from Shopify, worked on.
    async fn order(&self, id: u64, body: &Value) {
        let text = body.to_string();
        let request = Request::post("/lambda-url/orders-create/")
            .header("content-type", "application/json")
            .header("x-shopify-topic", "orders/create")
            .header("x-shopify-shop-domain", SHOP)
            .header("x-shopify-webhook-id", format!("w{id}"))
            .header("x-shopify-hmac-sha256", sign(SECRETS[0], text.as_bytes()))
            .body(Bytes::from(text))
            .unwrap();
        let answer = self.stack().call_url("orders-create", request).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
        self.stack().settle().await.unwrap();
    }

    async fn raw(
        &self,
        key: &str,
        authorization: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Bytes> {
        let (method, path) = key.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api{path}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        self.stack().call_api(request.body(Bytes::copy_from_slice(body)).unwrap()).await
    }

    /// Asks as the samples' shop.
    async fn ask(&self, key: &str, body: &Value) -> (u16, Value) {
        self.ask_with(key, &[], body).await
    }

    async fn ask_with(&self, key: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", token(SHOP, SECRETS[0], self.stack().now(), |_| {}));
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.raw(key, Some(&bearer), headers, text.as_bytes()).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }
}

/// A body that the route takes.
fn fitting(key: &str) -> Value {
    match key {
        "PUT /v1/members" => json!({"newcomers": "agent"}),
        "PUT /v1/members/{id}" => json!({"role": "agent"}),
        "PATCH /v1/threads/{id}" => json!({"escalated": true}),
        "PUT /v1/drafts/{id}" => json!({"text": "It is on its way."}),
        _ => json!({"decision": "confirm"}),
    }
}

/// A route's key with a name in the place of its parameter.
fn named(key: &str, id: &str) -> String {
    key.replace("{id}", id)
}

fn kind_of(answer: &Value) -> &str {
    answer["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default()
}

#[tokio::test]
async fn a_browser_installs_at_the_apis_own_address_and_no_session_is_asked_for() {
    let local = Local::new().await;
    let call = async |method: &str, path: &str, bearer: &str| {
        let request = Request::builder().method(method).uri(path).header("authorization", bearer);
        local.stack().call_api(request.body(Bytes::new()).unwrap()).await
    };
    let header = |answer: &Response<Bytes>, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    // Given a session that does not count, which the authorizer would not let pass as anybody's.
    let begun = call("GET", &format!("/auth?shop={SHOP}"), "Bearer a.b.c").await;
    assert_eq!(begun.status(), 302);
    // Then the cookie is of the host that the callback is below, which is where this was asked.
    let cookie = header(&begun, "set-cookie");
    assert!(cookie.starts_with("__Host-") && !cookie.contains("Domain"), "{cookie}");
    let to = header(&begun, "location");
    let asked = storeward_core::oauth::Query::parse(to.split_once('?').unwrap().1).unwrap();
    let address = &local.stack().template().functions.iter().find(|known| known.name == "oauth-install");
    let address = &address.unwrap().environment["STOREWARD_APP_URL"];
    assert_eq!(asked.get("redirect_uri"), Some(format!("{address}/auth/callback").as_str()));
    // The functions themselves say who may not come in.
    let back = call("GET", "/auth/callback?code=c&shop=s&state=s&timestamp=1", "").await;
    let why: Value = serde_json::from_slice(back.body()).unwrap();
    assert_eq!((back.status().as_u16(), kind_of(&why)), (401, "unsigned-query"), "{why}");
    let opened = call("POST", "/auth/session", "Bearer a.b.c").await;
    let why: Value = serde_json::from_slice(opened.body()).unwrap();
    assert_eq!((opened.status().as_u16(), kind_of(&why)), (401, "invalid-session"), "{why}");
    assert_eq!(header(&opened, "x-shopify-retry-invalid-session-request"), "1");
    for (method, path) in [("POST", "/auth"), ("GET", "/auth/session"), ("GET", "/auth/other")] {
        assert_eq!(call(method, path, "").await.status(), 404, "{method} {path}");
    }
    // There is no second host for any of them.
    for name in ["oauth-install", "oauth-callback", "token-exchange"] {
        let request = Request::get(format!("/lambda-url/{name}/")).body(Bytes::new()).unwrap();
        assert_eq!(local.stack().call_url(name, request).await.status(), 404, "{name}");
    }
}

#[tokio::test]
async fn whoever_is_not_at_the_shop_gets_nothing_on_any_route() {
    // Given a case of one shop, and another shop with the app.
    let local = Local::new().await;
    local.install(OTHER).await;
    for id in 1..=2 {
        local.order(id, &order(id, u32::try_from(id).unwrap())).await;
    }
    let (_, listed) = local.ask("GET /v1/cases", &Value::Null).await;
    let case = listed["cases"][0]["id"].as_str().unwrap().to_owned();
    for operation in storeward_api::OPERATIONS.iter().filter(|operation| !operation.public) {
        // So that the throttling does not hide what is tried here.
        local.stack().advance(Duration::from_secs(1)).await.unwrap();
        let now = local.stack().now();
        let key = named(operation.key, &case);
        let body = fitting(operation.key).to_string();
        // When nobody asks, or anybody without a token that counts.
        let nobody = local.raw(&key, None, &[], body.as_bytes()).await;
        assert_eq!(
            (nobody.status().as_u16(), nobody.body().as_ref()),
            (401, &br#"{"message":"Unauthorized"}"#[..])
        );
        let none = token(SHOP, SECRETS[0], now, |_| {});
        let bad = [
            token(SHOP, "test-another-secret", now, |_| {}),
            token(SHOP, SECRETS[0], now - HOUR, |_| {}),
            token(SHOP, SECRETS[0], now + HOUR, |_| {}),
            token(SHOP, SECRETS[0], now, |claims| claims["aud"] = json!("another-app")),
            token(SHOP, SECRETS[0], now, |claims| claims["dest"] = json!(format!("https://{OTHER}"))),
            none.rsplit_once('.').unwrap().0.to_owned(),
            "canary".to_owned(),
        ];
        for text in
            bad.iter().map(|bad| format!("Bearer {bad}")).chain([none.clone(), format!("Basic {none}")])
        {
            let answer = local.raw(&key, Some(&text), &[], body.as_bytes()).await;
            let said: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!((answer.status().as_u16(), kind_of(&said)), (401, "invalid-session"), "{key}");
            assert_eq!(answer.headers()["x-shopify-retry-invalid-session-request"], "1", "{key}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert!(!said.to_string().contains("canary"), "{said}");
        }
        // Then it is refused; and a shop without the app, whatever it asks for.
        let stranger = format!("Bearer {}", token("no-app.myshopify.com", SECRETS[0], now, |_| {}));
        let answer = local.raw(&key, Some(&stranger), &[], body.as_bytes()).await;
        let said: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!((answer.status().as_u16(), kind_of(&said)), (404, "not-installed"), "{key}");
        // And to another shop the case is what no case is.
        if operation.key.contains("{id}") {
            let other = format!("Bearer {}", token(OTHER, SECRETS[0], now, |_| {}));
            let seen = [("if-match", "\"1\"")];
            let theirs = local.raw(&key, Some(&other), &seen, body.as_bytes()).await;
            let nothing =
                local.raw(&named(operation.key, NOTHING), Some(&other), &seen, body.as_bytes()).await;
            assert_eq!((theirs.status().as_u16(), theirs.body()), (404, nothing.body()), "{key}");
        }
    }
    let (_, listed) = local.ask("GET /v1/cases", &Value::Null).await;
    assert_eq!((&listed["cases"][0]["state"], listed["next"].is_null()), (&json!("open"), true));
    // The secret that is being rotated out counts as well.
    let before = format!("Bearer {}", token(SHOP, SECRETS[1], local.stack().now(), |_| {}));
    assert_eq!(local.raw("GET /v1/settings", Some(&before), &[], b"").await.status(), 200);
    // And after an uninstall the shop's own tokens open nothing.
    local
        .with_store(async |store| {
            let installation =
                store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap().unwrap();
            store.uninstall(&installation, "test").await.unwrap();
        })
        .await;
    for operation in storeward_api::OPERATIONS.iter().filter(|operation| !operation.public) {
        let (status, said) = local.ask(&named(operation.key, &case), &json!({"decision": "confirm"})).await;
        assert_eq!((status, kind_of(&said)), (404, "not-installed"), "{}", operation.key);
    }
}

#[tokio::test]
async fn a_decision_is_kept_counted_taken_back_and_heeded() {
    let local = Local::new().await;
    for id in 1..=2 {
        local.order(id, &order(id, u32::try_from(id).unwrap())).await;
    }
    let total = order(1, 1)["total_price"].as_str().unwrap().to_owned();
    let (_, listed) = local.ask("GET /v1/cases?state=open", &Value::Null).await;
    let case = listed["cases"][0].clone();
    assert_eq!((listed["cases"].as_array().unwrap().len(), &case["size"]), (1, &json!(2)));
    assert_eq!(case["members"][0]["total"], json!(total));
    let at = |key: &str| named(key, case["id"].as_str().unwrap());
    let (decision, read, delete) =
        (at("POST /v1/cases/{id}/decision"), at("GET /v1/cases/{id}"), at("DELETE /v1/cases/{id}"));
    // An open case is not deleted.
    let (status, said) = local.ask(&delete, &Value::Null).await;
    assert_eq!((status, kind_of(&said)), (409, "case-not-resolved"));
    // Confirmed, and once more: the same.
    let (status, confirmed) = local.ask(&decision, &json!({"decision": "confirm"})).await;
    assert_eq!(
        (status, &confirmed["state"], &confirmed["decision"]["decision"]),
        (200, &json!("confirmed"), &json!("confirm"))
    );
    assert_eq!(local.ask(&decision, &json!({"decision": "confirm"})).await, (200, confirmed.clone()));
    let month = async || local.ask("GET /v1/savings?months=1", &Value::Null).await.1["months"][0].clone();
    let counted = month().await;
    assert_eq!(
        (&counted["opened"], &counted["confirmed"], &counted["dismissed"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let units: i64 = total.replace('.', "").parse().unwrap();
    assert_eq!(counted["saved"][0]["minor_units"], json!(units), "one of two orders: {counted}");
    // Somebody else's decision on what it was before is refused, one on what it is counts.
    let never = json!({"decision": "never_this_household"});
    let (status, said) =
        local.ask_with(&decision, &[("if-match", &format!("\"{}\"", case["revision"]))], &never).await;
    assert_eq!((status, kind_of(&said)), (412, "case-changed"));
    let current = format!("\"{}\"", confirmed["revision"]);
    let (status, dismissed) = local.ask_with(&decision, &[("if-match", &current)], &never).await;
    assert_eq!((status, &dismissed["state"]), (200, &json!("dismissed")), "{dismissed}");
    let counted = month().await;
    assert_eq!(
        (&counted["confirmed"], &counted["dismissed"], &counted["saved"]),
        (&json!(0), &json!(1), &json!([]))
    );
    // The next order of the household is not flagged, and no preview counts it.
    local.order(3, &order(3, 3)).await;
    assert_eq!(local.ask(&read, &Value::Null).await, (200, dismissed.clone()));
    let (status, preview) = local.ask("POST /v1/settings/preview", &json!({"settings": {}})).await;
    assert_eq!(
        (status, &preview["orders"], &preview["proposed"]["cases"]),
        (200, &json!(3), &json!(0)),
        "{preview}"
    );
    // Until the exception is ended.
    let (_, exceptions) = local.ask("GET /v1/exceptions", &Value::Null).await;
    let exception = exceptions["exceptions"][0].clone();
    assert_eq!(
        (exceptions["exceptions"].as_array().unwrap().len(), &exception["scope"]),
        (1, &json!("household"))
    );
    let end = named("DELETE /v1/exceptions/{id}", exception["id"].as_str().unwrap());
    assert_eq!(local.ask(&end, &Value::Null).await.0, 204);
    assert_eq!(local.ask(&end, &Value::Null).await.0, 404);
    let (_, preview) =
        local.ask("POST /v1/settings/preview", &json!({"settings": {"window_minutes": 5}})).await;
    assert_eq!(
        (&preview["proposed"]["cases"], &preview["proposed"]["orders"]),
        (&json!(1), &json!(3)),
        "{preview}"
    );
    assert_eq!(preview["proposed"]["examples"][0]["orders"], json!(["#1", "#2", "#3"]));
    // Another look finds the order, which opens the case again; its decision is still told.
    let (status, looked) = local.ask(&at("POST /v1/cases/{id}/recheck"), &Value::Null).await;
    assert_eq!((status, &looked["orders"]), (202, &json!(2)));
    local.stack().settle().await.unwrap();
    let (_, again) = local.ask(&read, &Value::Null).await;
    assert_eq!((&again["state"], &again["size"]), (&json!("open"), &json!(3)));
    assert_eq!(again["decision"]["decision"], "never_this_household");
    // Resolved, it can be deleted; the counts stay, and the orders are free for another case.
    assert_eq!(local.ask(&decision, &json!({"decision": "dismiss"})).await.0, 200);
    assert_eq!(local.ask(&delete, &Value::Null).await, (204, Value::Null));
    assert_eq!(local.ask(&delete, &Value::Null).await.0, 404);
    assert_eq!(local.ask(&read, &Value::Null).await.0, 404);
    let counted = month().await;
    assert_eq!((&counted["opened"], &counted["dismissed"]), (&json!(1), &json!(1)));
    assert_eq!(local.ask("GET /v1/cases", &Value::Null).await.1["cases"], json!([]));
    local.order(4, &order(4, 4)).await;
    assert_eq!(local.ask("GET /v1/cases", &Value::Null).await.1["cases"][0]["size"], json!(4));
    let failed: Vec<_> =
        local.stack().activities().into_iter().filter(|activity| !activity.succeeded).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn what_is_not_as_documented_is_refused_and_changes_nothing() {
    let local = Local::new().await;
    for id in 1..=2 {
        local.order(id, &order(id, u32::try_from(id).unwrap())).await;
    }
    let before = local.ask("GET /v1/cases", &Value::Null).await;
    let case = before.1["cases"][0]["id"].as_str().unwrap().to_owned();
    let decision = named("POST /v1/cases/{id}/decision", &case);
    let bearer = format!("Bearer {}", token(SHOP, SECRETS[0], local.stack().now(), |_| {}));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = format!(r#"{{"settings":{}1{}}}"#, r#"{"a":"#.repeat(500), "}".repeat(500));
    let large = format!(r#"{{"window_minutes":60,"x":"{}"}}"#, "x".repeat(70_000));
    let bodies: [(&str, &[u8], u16, &str); 17] = [
        ("PUT /v1/settings", b"", 400, "invalid-body"),
        ("PUT /v1/settings", b"{", 400, "invalid-body"),
        ("PUT /v1/settings", b"[]x", 400, "invalid-body"),
        ("PUT /v1/settings", b"\xff{}", 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"canary":1}"#, 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"window_minutes":"60"}"#, 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"window_minutes":-1}"#, 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"window_minutes":60,"window_minutes":90}"#, 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"sensitivity":"canary"}"#, 400, "invalid-body"),
        ("PUT /v1/settings", br#"{"window_minutes":4}"#, 422, "setting-out-of-bounds"),
        ("PUT /v1/settings", br#"{"digest_hour":24}"#, 422, "setting-out-of-bounds"),
        ("PUT /v1/settings", deep.as_bytes(), 400, "invalid-body"),
        ("PUT /v1/settings", large.as_bytes(), 413, "request-too-large"),
        ("POST /v1/settings/preview", nested.as_bytes(), 400, "invalid-body"),
        ("POST /v1/settings/preview", br#"{"settings":{"window_minutes":1}}"#, 422, "setting-out-of-bounds"),
        (&decision, br#"{"decision":"cancel the order"}"#, 400, "invalid-body"),
        (&decision, br#"{"decision":"confirm","because":"canary"}"#, 400, "invalid-body"),
    ];
    for (key, body, status, kind) in bodies {
        let answer = local.raw(key, Some(&bearer), &[], body).await;
        let said: Value = serde_json::from_slice(answer.body()).unwrap();
        let text = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!((answer.status().as_u16(), kind_of(&said)), (status, kind), "{key} {text}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(!said.to_string().contains("canary"), "{said}");
    }
    local.stack().advance(Duration::from_secs(2)).await.unwrap();
    for (key, status) in [
        ("GET /v1/cases?state=canary", 400),
        ("GET /v1/cases?stat=open", 400),
        ("GET /v1/cases?limit=0", 400),
        ("GET /v1/cases?limit=101", 400),
        ("GET /v1/cases?since=yesterday", 400),
        ("GET /v1/cases?since=2026-11-21T00:00:00Z&until=2026-11-20T00:00:00Z", 200),
        ("GET /v1/cases?cursor=canary", 400),
        (&format!("GET /v1/cases?cursor={}", "0".repeat(80)), 400),
        ("GET /v1/cases/canary", 404),
        ("GET /v1/cases/00112233445566778899AABBCCDDEEFF", 404),
        ("GET /v1/cases/..%2f..%2fsettings", 404),
        ("GET /v1/cases/%27%20OR%201%3D1", 404),
        ("GET /v1/savings?months=25", 400),
        ("GET /v1/exceptions?id=1", 400),
        ("GET /v1/threads?state=canary", 400),
        ("GET /v1/threads?intent=canary", 400),
        ("GET /v1/threads?mailbox=canary", 400),
        ("GET /v1/threads?cursor=canary", 400),
        ("GET /v1/threads/canary", 404),
        ("GET /v1/drafts/canary", 404),
        ("GET /v1/desk?canary=1", 400),
        ("GET /v1/desk/savings?months=25", 400),
        // Routes that are none: API Gateway's own answer.
        ("DELETE /v1/settings", 404),
        ("POST /v1/cases", 404),
        ("GET /v1/cases/", 404),
        ("GET /v2/cases", 404),
        ("GET /v1/settings/preview", 404),
        ("DELETE /v1/desk", 404),
        ("GET /v1/desk/rules/dry-run", 404),
    ] {
        let (found, said) = local.ask(key, &Value::Null).await;
        assert_eq!(found, status, "{key}: {said}");
        assert!(!said.to_string().contains("canary"), "{said}");
    }
    let (status, said) =
        local.ask_with(&decision, &[("if-match", "canary")], &json!({"decision": "confirm"})).await;
    assert_eq!((status, kind_of(&said)), (400, "invalid-parameter"));
    assert_eq!(local.ask("GET /v1/cases", &Value::Null).await, before);
    let (_, settings) = local.ask("GET /v1/settings", &Value::Null).await;
    assert_eq!(settings["window_minutes"], json!(24 * 60));
    // And what is as documented counts.
    let (status, changed) =
        local.ask("PUT /v1/settings", &json!({"window_minutes": 60, "alert": "digest"})).await;
    assert_eq!((status, &changed["window_minutes"], &changed["tag_orders"]), (200, &json!(60), &json!(true)));
    assert_eq!(local.ask("GET /v1/settings", &Value::Null).await, (200, changed));
}

/// What somebody is told of the mail desk: status, `ETag` and body.
async fn desk(local: &Local, key: &str, seen: Option<&str>, body: &[u8]) -> (u16, String, Value) {
    let bearer = format!("Bearer {}", token(SHOP, SECRETS[0], local.stack().now(), |_| {}));
    let headers: Vec<(&str, &str)> = seen.into_iter().map(|seen| ("if-match", seen)).collect();
    let answer = local.raw(key, Some(&bearer), &headers, body).await;
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), tag, serde_json::from_slice(answer.body()).unwrap_or_default())
}

#[tokio::test]
async fn the_mail_desk_is_changed_by_whoever_read_it_last_and_only_to_what_can_be() {
    let local = Local::new().await;
    // Given a desk that nobody changed: the defaults, without rules and macros.
    let (status, tag, defaults) = desk(&local, "GET /v1/desk", None, b"").await;
    assert_eq!((status, tag.as_str(), &defaults["send_by_rule"]), (200, "\"0\"", &json!(false)));
    let (_, tag, rules) = desk(&local, "GET /v1/desk/rules", None, b"").await;
    assert_eq!((tag.as_str(), rules), ("\"0\"", json!({ "rules": [] })));
    // When a macro is written and a rule that sends it, each change is told by the next revision.
    let (_, me) = local.ask("GET /v1/me", &Value::Null).await;
    let text = json!({ "macros": [{ "id": "where", "name": "Where", "text": "See {{tracking_url}}" }] });
    let put = text.to_string();
    let (status, tag, said) = desk(&local, "PUT /v1/desk/macros", Some("\"0\""), put.as_bytes()).await;
    assert_eq!((status, tag.as_str()), (200, "\"1\""), "{said}");
    let rule = |action: Value| {
        json!({ "rules": [{ "id": "where", "name": "Where", "enabled": true, "then": [action] }] })
            .to_string()
    };
    let send = rule(json!({ "do": "auto_send", "after_minutes": 30, "macro": "where" }));
    let (status, tag, sends) = desk(&local, "PUT /v1/desk/rules", Some("\"1\""), send.as_bytes()).await;
    assert_eq!((status, tag.as_str(), &sends["rules"][0]["stop"]), (200, "\"2\"", &json!(false)), "{sends}");
    let assign = rule(json!({ "do": "assign", "actor": me["id"] }));
    let (status, _, said) = desk(&local, "POST /v1/desk/rules/dry-run", None, assign.as_bytes()).await;
    assert_eq!((status, said), (200, json!({ "mails": [], "complete": true })));
    // Then nothing else is taken: not over what somebody else wrote, and nothing that cannot be.
    let hostile = rule(json!({ "do": "assign", "actor": "canary" }));
    let large = format!(r#"{{"macros":[{{"id":"a","name":"A","text":"{}"}}]}}"#, "x".repeat(70_000));
    let long = format!(r#"{{"macros":[{{"id":"a","name":"A","text":"{}"}}]}}"#, "x".repeat(5_001));
    let no_macro = rule(json!({ "do": "draft", "macro": "canary" }));
    let delay = rule(json!({ "do": "auto_send", "after_minutes": 0 }));
    let action = rule(json!({ "do": "canary" }));
    let refused: [(&str, Option<&str>, &str, u16, &str); 17] = [
        ("PUT /v1/desk", Some("\"0\""), "{}", 412, "desk-changed"),
        ("PUT /v1/desk/rules", Some("\"1\""), r#"{"rules":[]}"#, 412, "desk-changed"),
        ("PUT /v1/desk/macros", Some("\"3\""), r#"{"macros":[]}"#, 412, "desk-changed"),
        ("PUT /v1/desk", Some("canary"), "{}", 400, "invalid-parameter"),
        ("PUT /v1/desk", None, r#"{"canary":1}"#, 400, "invalid-body"),
        ("PUT /v1/desk", None, r#"{"threshold":"canary"}"#, 400, "invalid-body"),
        ("PUT /v1/desk", None, r#"{"first_sync_days":31}"#, 422, "desk-refused"),
        ("PUT /v1/desk", None, r#"{"links":["http://canary.example.com"]}"#, 422, "desk-refused"),
        ("PUT /v1/desk/macros", None, r#"{"macros":[]}"#, 422, "desk-refused"),
        ("PUT /v1/desk/macros", None, &long, 422, "desk-refused"),
        ("PUT /v1/desk/macros", None, &large, 413, "request-too-large"),
        ("PUT /v1/desk/rules", None, &no_macro, 422, "desk-refused"),
        ("PUT /v1/desk/rules", None, &delay, 422, "desk-refused"),
        ("PUT /v1/desk/rules", None, &action, 422, "desk-refused"),
        ("PUT /v1/desk/rules", None, &hostile, 422, "desk-refused"),
        ("POST /v1/desk/rules/dry-run", None, &hostile, 422, "desk-refused"),
        ("POST /v1/desk/rules/dry-run", None, "", 400, "invalid-body"),
    ];
    for (key, seen, body, status, kind) in refused {
        let (found, _, said) = desk(&local, key, seen, body.as_bytes()).await;
        assert_eq!((found, kind_of(&said)), (status, kind), "{key} {}: {said}", &body[..body.len().min(60)]);
        assert!(!said.to_string().contains("canary"), "{said}");
    }
    for (key, kept) in [("GET /v1/desk", &defaults), ("GET /v1/desk/rules", &sends)] {
        let (_, tag, now) = desk(&local, key, None, b"").await;
        assert_eq!((tag.as_str(), &now), ("\"2\"", kept), "{key}");
    }
    // And what is read can be sent back.
    let put = defaults.to_string();
    let (status, tag, said) = desk(&local, "PUT /v1/desk", Some("\"2\""), put.as_bytes()).await;
    assert_eq!((status, tag.as_str(), said), (200, "\"3\"", defaults));
    let (status, _, savings) = desk(&local, "GET /v1/desk/savings?months=2", None, b"").await;
    let (months, latest) = (savings["months"].as_array().unwrap().len(), &savings["months"][0]);
    assert_eq!((status, months, &latest["saved_micro_dollars"]), (200, 2, &Value::Null), "{savings}");
}

/// Mails of customers that were understood, each of a conversation of its own and a minute after the one before. Beside them
/// one that was not understood, and one that the shop wrote. Answers their names, the latest first.
async fn understood(local: &Local, count: u32) -> Vec<String> {
    let now = local.stack().now();
    let arrived = |number: u32, from: &str| {
        let raw = format!(
            "Message-ID: <{number}@mail.example.com>\r\nFrom: {from}\r\nTo: help@shop.example.com\r\n\
             Subject: About {number}\r\n\r\nWhere is my parcel?\r\n"
        );
        ArrivedMail {
            provider_id: number.to_string(),
            provider_thread: number.to_string(),
            received_at: now - DAY + MINUTE * number,
            own: from.starts_with("help@"),
            mail: storeward_core::mail::read(raw.as_bytes()).unwrap(),
        }
    };
    local
        .with_store(async |store| {
            let shop = store.shop_id(&SHOP.parse().unwrap());
            let installation = store.installation(&shop).await.unwrap().unwrap();
            let mailbox = connect(store, &installation, "help@shop.example.com").await;
            let mut names = Vec::new();
            for number in 1..=count {
                let sender = if number == count { "ben@example.com" } else { "ana@example.com" };
                let taken = store.take_mail(&installation, &mailbox, arrived(number, sender)).await.unwrap();
                let Arrival::Stored { mail, .. } = taken else { panic!("{taken:?}") };
                let mail = store.mail(&installation, &mail).await.unwrap().unwrap();
                let due_at = mail.due_at.unwrap();
                store.understood(&installation, &mail, &understanding(), due_at).await.unwrap();
                names.insert(0, mail.reference.id().to_owned());
            }
            for (number, sender) in [(count + 1, "ana@example.com"), (count + 2, "help@shop.example.com")] {
                store.take_mail(&installation, &mailbox, arrived(number, sender)).await.unwrap();
            }
            names
        })
        .await
}

#[tokio::test]
async fn a_dry_run_says_of_the_latest_hundred_mails_what_rules_would_have_done() {
    let local = Local::new().await;
    let names = understood(&local, 102).await;
    let rules = json!({ "rules": [{
        "id": "ben", "name": "Ben", "enabled": true, "when": { "sender": ["ben@example.com"] },
        "then": [{ "do": "label", "label": "ben" }, { "do": "escalate" }],
    }] });
    let before = local.ask("GET /v1/threads?limit=100", &Value::Null).await;
    let (status, said) = local.ask("POST /v1/desk/rules/dry-run", &rules).await;
    assert_eq!((status, &said["complete"]), (200, &json!(true)), "{said}");
    let mails = said["mails"].as_array().unwrap();
    let of: Vec<&str> = mails.iter().map(|mail| mail["mail"].as_str().unwrap()).collect();
    assert_eq!(of, names[..100], "those of customers that were understood, the latest first");
    let latest = &mails[0]["plan"];
    assert_eq!(
        (&latest["labels"], &latest["escalate"], &latest["rules"]),
        (&json!(["ben"]), &json!(true), &json!(["ben"]))
    );
    assert!(mails[1..].iter().all(|mail| mail["plan"]["rules"] == json!([])), "{said}");
    assert!(!said.to_string().contains("@example.com"), "nobody is named: {said}");
    // And nothing of it happened; nor does it by the rules that count, of which there are none.
    let (_, said) = local.ask("POST /v1/desk/rules/dry-run", &json!({})).await;
    assert_eq!(said["mails"][0]["plan"]["labels"], json!([]));
    assert_eq!(local.ask("GET /v1/threads?limit=100", &Value::Null).await, before);
}

#[tokio::test]
async fn the_description_is_anyones_and_too_many_requests_at_once_are_told_so() {
    let local = Local::new().await;
    let answer = local.raw("GET /v1/openapi.json", None, &[], b"").await;
    let served: Value = serde_json::from_slice(answer.body()).unwrap();
    let committed = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    assert_eq!(served, serde_json::from_str::<Value>(&committed).unwrap());
    // When as many come at once as the template allows, one more is too many, and a second later it is not.
    let burst = local.stack().template().apis[0].limits.unwrap().burst;
    for _ in 1..burst {
        assert_eq!(local.raw("GET /v1/openapi.json", None, &[], b"").await.status(), 200);
    }
    let answer = local.raw("GET /v1/openapi.json", None, &[], b"").await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (429, &br#"{"message":"Too Many Requests"}"#[..])
    );
    local.stack().advance(Duration::from_secs(1)).await.unwrap();
    assert_eq!(local.raw("GET /v1/openapi.json", None, &[], b"").await.status(), 200);
}

/// Two orders of a person of their own, placed now.
async fn open_case(bench: &Bench, app: &crate::bench::App, person: u64) {
    let now = storeward_core::time::Clock::now(&bench.clock);
    for id in [person * 10, person * 10 + 1] {
        let mut order = order(id, 0);
        for field in ["customer", "billing_address", "shipping_address", "phone", "contact_email"] {
            order[field] = json!(null);
        }
        order["email"] = json!(format!("person{person}@example.com"));
        order["created_at"] = json!(now.to_rfc3339());
        app.order(&format!("w{id}"), &order).await;
    }
    bench.drain(app).await;
}

#[tokio::test(start_paused = true)]
async fn every_case_that_stays_is_on_exactly_one_page_whatever_else_comes_and_goes() {
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let store = app.store().await;
    // Cases over three months, some of them in the same millisecond.
    for person in 1..=9 {
        open_case(&bench, &app, person).await;
        if person % 2 == 0 {
            bench.advance(DAY * 17).await;
        }
    }
    let mut newcomer = 100;
    for limit in 1..=4 {
        let all = app.cases(&installation).await;
        let staying: BTreeSet<String> =
            all.iter().skip(1).map(|case| case.reference.id().to_owned()).collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let (filter, mut cursor, mut latest) = (CaseFilter::default(), None, None);
        for page in 0.. {
            let found =
                store.list_cases(&installation, &filter, cursor.as_deref(), limit).await.unwrap().unwrap();
            assert!(found.cases.len() <= limit);
            for case in &found.cases {
                assert!(latest.is_none_or(|latest: String| case.opened <= latest), "the latest first");
                latest = Some(case.opened.clone());
                *seen.entry(case.reference.id().to_owned()).or_default() += 1;
            }
            // In between a case comes, and the one a page just ended with goes.
            newcomer += 1;
            open_case(&bench, &app, newcomer).await;
            if page == 0 {
                let gone = &all[0].reference;
                store.decide(&installation, gone, Decision::Dismiss, None).await.unwrap();
                store.delete_case(&installation, gone).await.unwrap();
            }
            cursor = found.next;
            if cursor.is_none() {
                break;
            }
        }
        for id in &staying {
            assert_eq!(seen.get(id), Some(&1), "pages of {limit}");
        }
    }
    // A filter counts on every page, and its cursor for it alone.
    let all = app.cases(&installation).await;
    let confirmed: BTreeSet<&str> = all.iter().step_by(3).map(|case| case.reference.id()).collect();
    for id in &confirmed {
        let reference = format!("case/{id}").parse().unwrap();
        let decided = store.decide(&installation, &reference, Decision::Confirm, None).await.unwrap();
        assert!(matches!(decided, Deciding::Decided(_)));
    }
    let filter = CaseFilter { state: Some(CaseState::Confirmed), ..CaseFilter::default() };
    let first = store.list_cases(&installation, &filter, None, 2).await.unwrap().unwrap();
    let rest = store.list_cases(&installation, &filter, first.next.as_deref(), 100).await.unwrap().unwrap();
    let found: BTreeSet<&str> =
        first.cases.iter().chain(&rest.cases).map(|case| case.reference.id()).collect();
    assert_eq!((found, first.cases.len(), rest.next), (confirmed, 2, None));
    let unfiltered = CaseFilter::default();
    assert!(store.list_cases(&installation, &unfiltered, first.next.as_deref(), 2).await.unwrap().is_none());
    let other = app.install_in(OTHER).await;
    assert!(store.list_cases(&other, &filter, first.next.as_deref(), 2).await.unwrap().is_none());
    let since = CaseFilter { since: Timestamp::parse_rfc3339(&all[0].opened), ..CaseFilter::default() };
    let latest = store.list_cases(&installation, &since, None, 100).await.unwrap().unwrap();
    assert!(!latest.cases.is_empty() && latest.cases.iter().all(|case| case.opened == all[0].opened));
}

#[tokio::test(start_paused = true)]
async fn erasing_anyone_of_a_household_deletes_its_exception_and_a_purge_leaves_nothing() {
    // Given a household whose orders are not to be flagged, and a customer likewise.
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let store = app.store().await;
    for id in 1..=2 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
    }
    open_case(&bench, &app, 7).await;
    for case in app.cases(&installation).await {
        let known = case.members.iter().any(|member| *member.id.expose() < 10);
        let decision = if known { Decision::NeverThisHousehold } else { Decision::NeverThisCustomer };
        let decided = store.decide(&installation, &case.reference, decision, None).await.unwrap();
        assert!(matches!(decided, Deciding::Decided(_)), "{decided:?}");
    }
    assert_eq!(store.exceptions(&installation).await.unwrap().len(), 2);
    let leading = |bench: &Bench| {
        let rows = bench.items("subject");
        rows.into_iter().filter(|row| row["sk"]["S"].as_str().unwrap().starts_with("exception/")).count()
    };
    let before = leading(&bench);
    assert!(before > 2, "every way the people are found leads to it");
    // When one of them is erased.
    app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    bench.drain(&app).await;
    bench.advance(HOUR).await;
    bench.drain(&app).await;
    // Then the household's is gone with its rows, the other customer's is there, and the case is listed without anyone.
    let left = store.exceptions(&installation).await.unwrap();
    assert_eq!(left.iter().map(|exception| exception.labels.len()).collect::<Vec<_>>(), [1]);
    assert!(leading(&bench) < before);
    let page = store.list_cases(&installation, &CaseFilter::default(), None, 10).await.unwrap().unwrap();
    let states: BTreeSet<&str> = page.cases.iter().map(|case| case.state.name()).collect();
    assert_eq!(states, BTreeSet::from(["anonymised", "dismissed"]));
    let anonymised = CaseFilter { state: Some(CaseState::Anonymised), ..CaseFilter::default() };
    let page = store.list_cases(&installation, &anonymised, None, 10).await.unwrap().unwrap();
    let decided =
        store.decide(&installation, &page.cases[0].reference, Decision::Confirm, None).await.unwrap();
    assert!(matches!(decided, Deciding::Anonymised));
    let counted = store.statistics(&installation, 1).await.unwrap();
    assert_eq!((counted[0].opened, counted[0].dismissed), (2, 2), "counts are about nobody");
    // And a purge leaves nothing of any of it.
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    bench.live(&app, 37).await;
    assert_eq!(bench.left_of(&installation.tenant), Vec::<String>::new());
}
