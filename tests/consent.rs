//! Installing and staying connected, as a merchant, a forger and a bad day see it: consent, callbacks, session tokens,
//! tokens that are renewed, and what changes in the shop. The official library's view stands in `conformance/`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use storeward_clients::ClientError;
use storeward_clients::shopify::{App as Credentials, Shopify as Client};
use storeward_core::egress::Register;
use storeward_core::oauth::{AccessToken, Query, Scopes};
use storeward_core::time::{Clock as _, HOUR, MINUTE, Timestamp};
use storeward_host::ProblemKind;
use storeward_local::commands::client;
use storeward_local::shopify::oauth::AppCredentials;
use storeward_local::shopify::{Shopify, SimulatedOrder, SimulatedShop};
use storeward_store::{Acting, By, Installation, What, acting};

use crate::bench::{APP_URL, App, Bench, CLIENT_ID, SECRETS, SHOP, delivery, order, sample, sample_body};
use crate::support::connector::{Outcome, transport};
use crate::support::faults::{Fault, FaultPlan};

const NUMBER: u64 = 70_000_000_001;
const CALLBACK: &str = "api/oauth-callback";
const EXCHANGE: &str = "api/token-exchange";
const JOB: &str = "jobs/notify-merchant";

/// A deployment and the Shopify it belongs to, with one shop that does not have the app yet.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) shopify: Shopify,
    port: u16,
}

pub(crate) fn shop(domain: &str, id: u64) -> SimulatedShop {
    SimulatedShop {
        domain: domain.to_owned(),
        id,
        name: "Sample".to_owned(),
        email: "merchant@example.com".to_owned(),
        access_token: String::new(),
        scopes: BTreeSet::from(["read_orders".to_owned(), "write_orders".to_owned()]),
    }
}

// None of these tests runs on paused time: what goes over a socket would run into time-outs that jump.
impl World {
    pub(crate) async fn new() -> Self {
        let mut bench = Bench::new().await;
        let shopify = Shopify::new(Arc::new(bench.clock.clone())).unwrap();
        shopify.set_app(AppCredentials {
            client_id: CLIENT_ID.to_owned(),
            client_secrets: SECRETS.map(str::to_owned).into(),
            redirect_urls: vec![format!("{APP_URL}/auth/callback")],
        });
        shopify.open_shop(shop(SHOP, NUMBER));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = shopify.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        bench.set("STOREWARD_SHOPIFY_ENDPOINT", &format!("http://127.0.0.1:{port}/{{shop}}"));
        Self { bench, shopify, port }
    }

    /// A shop that installed the app by its redirects.
    pub(crate) async fn connected() -> (Self, App, Installation) {
        let world = Self::new().await;
        let app = world.bench.app();
        let (query, cookie) = world.consent(&app, SHOP).await;
        let answer = callback(&app, &query, &[cookie]).await;
        assert_eq!(answer["statusCode"], 302, "{answer}");
        let installation = installation(&app).await.unwrap();
        (world, app, installation)
    }

    /// What a browser does until Shopify sends it back: the callback's query, and the cookie it holds then.
    pub(crate) async fn consent(&self, app: &App, domain: &str) -> (String, String) {
        let mut event = sample("api/oauth-install/shop");
        event["rawQueryString"] = json!(format!("shop={domain}"));
        let answer = app.invoke("api/oauth-install", event).await.unwrap();
        assert_eq!(answer["statusCode"], 302, "{answer}");
        let to = answer["headers"]["location"].as_str().unwrap();
        let path = to.strip_prefix(&format!("http://127.0.0.1:{}", self.port)).unwrap();
        let approved = client::send(self.port, "GET", path, &[], "").await.unwrap();
        assert_eq!(approved.status, 302, "{}", approved.body);
        let back = approved.header("location").unwrap();
        let query = back.strip_prefix(&format!("{APP_URL}/auth/callback?")).unwrap();
        let cookie = answer["cookies"][0].as_str().unwrap().split(';').next().unwrap();
        (query.to_owned(), cookie.to_owned())
    }

    fn token_calls(&self) -> usize {
        let calls = self.shopify.calls();
        calls.iter().filter(|call| call.fields == ["oauth/access_token"]).count()
    }

    /// Whether Shopify answers who calls with this token.
    pub(crate) async fn works(&self, token: &AccessToken) -> bool {
        let path = format!("/{SHOP}/admin/api/2026-10/graphql.json");
        let headers = [("content-type", "application/json"), ("x-shopify-access-token", token.expose())];
        let query = r#"{"query":"{ shop { name } }"}"#;
        client::send(self.port, "POST", &path, &headers, query).await.unwrap().status == 200
    }

    fn shopify_client(&self) -> Client {
        let clock = Arc::new(self.bench.clock.clone());
        Client::new(&format!("http://127.0.0.1:{}/{{shop}}", self.port), Register::CURRENT, clock).unwrap()
    }
}

pub(crate) async fn callback(app: &App, query: &str, cookies: &[String]) -> Value {
    let mut event = sample("api/oauth-callback/approved");
    event["rawQueryString"] = json!(query);
    event["cookies"] = json!(cookies);
    app.invoke(CALLBACK, event).await.unwrap()
}

pub(crate) async fn exchange(app: &App, token: &str) -> Value {
    let mut event = sample("api/token-exchange/session");
    event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    app.invoke(EXCHANGE, event).await.unwrap()
}

fn problem_of(answer: &Value) -> (u64, String) {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(answer["headers"]["referrer-policy"], "no-referrer", "{answer}");
    (answer["statusCode"].as_u64().unwrap(), body["type"].as_str().unwrap_or_default().to_owned())
}

fn kind(kind: ProblemKind) -> (u64, String) {
    (u64::from(kind.status()), format!("urn:storeward:problem:{}", kind.id()))
}

async fn installation(app: &App) -> Option<Installation> {
    let store = app.store().await;
    store.installation(&store.shop_id(&SHOP.parse().unwrap())).await.unwrap()
}

/// Does something as the job does it.
fn in_job<F: Future>(work: F) -> impl Future<Output = F::Output> {
    acting(Acting::new(By::system(JOB), None), work)
}

async fn access(app: &App, installation: &Installation) -> Option<AccessToken> {
    in_job(app.context(JOB).admin_access(installation)).await.unwrap().map(|access| access.token)
}

#[tokio::test]
async fn a_merchant_installs_the_app_and_the_next_duplicate_is_tagged() {
    let (world, app, installation) = World::connected().await;
    let profile = installation.profile().unwrap();
    assert_eq!((profile.shopify_id, profile.plan.as_deref()), (Some(NUMBER), Some("Basic")));
    assert_eq!(installation.access().unwrap().unwrap().scopes, Scopes::parse("read_orders,write_orders"));
    let placed = world.bench.clock.now();
    for id in 1..=2 {
        assert!(world.shopify.add_order(SHOP, SimulatedOrder::new(id, format!("#{id}"), placed)));
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
        world.bench.drain(&app).await;
    }
    for found in world.shopify.orders(SHOP) {
        assert_eq!(found.tags, [notify_merchant::TAG], "{}", found.id);
    }
    assert_eq!(world.token_calls(), 1, "an hour's token needs no renewal yet");
    let stored = format!("{:?}", world.bench.dump());
    assert!(!stored.contains("shpat_") && !stored.contains("shprt_"), "tokens are sealed");
}

#[tokio::test]
async fn a_browser_that_installs_is_bound_by_a_cookie_and_sent_to_the_app() {
    let world = World::new().await;
    let app = world.bench.app();
    let answer = app.invoke("api/oauth-install", sample("api/oauth-install/shop")).await.unwrap();
    let cookie = answer["cookies"][0].as_str().unwrap();
    for attribute in
        ["__Host-storeward-state=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"]
    {
        assert!(cookie.contains(attribute), "{attribute}: {cookie}");
    }
    let to = answer["headers"]["location"].as_str().unwrap();
    let asked = Query::parse(to.split_once('?').unwrap().1).unwrap();
    assert_eq!(asked.get("redirect_uri"), Some("https://app.example.com/auth/callback"));
    assert_eq!(
        (asked.get("client_id"), asked.get("scope")),
        (Some(CLIENT_ID), Some("read_orders,write_orders"))
    );
    let (one, two) = (world.consent(&app, SHOP).await, world.consent(&app, SHOP).await);
    assert_ne!(one.1, two.1, "no state twice");
    let answer = callback(&app, &one.0, &[one.1]).await;
    assert!(answer["headers"]["location"].as_str().unwrap().ends_with("/admin/apps/test-client-id"));
    assert!(answer["cookies"][0].as_str().unwrap().contains("Max-Age=0"), "the state is forgotten");
    for (query, expected) in [
        ("", ProblemKind::InvalidQuery),
        ("shop=", ProblemKind::InvalidQuery),
        ("shop=example.com", ProblemKind::InvalidQuery),
        ("shop=a.myshopify.com&shop=b.myshopify.com", ProblemKind::InvalidQuery),
        ("shop=%ff.myshopify.com", ProblemKind::InvalidQuery),
    ] {
        let mut event = sample("api/oauth-install/shop");
        event["rawQueryString"] = json!(query);
        assert_eq!(
            problem_of(&app.invoke("api/oauth-install", event).await.unwrap()),
            kind(expected),
            "{query}"
        );
    }
    let mut event = sample("api/oauth-install/shop");
    event["requestContext"]["http"]["method"] = json!("POST");
    let answer = app.invoke("api/oauth-install", event).await.unwrap();
    assert_eq!(
        (problem_of(&answer), &answer["headers"]["allow"]),
        (kind(ProblemKind::MethodNotAllowed), &json!("GET"))
    );
}

#[tokio::test]
async fn a_callback_that_is_not_shopifys_or_not_this_browsers_leaves_nothing() {
    let world = World::new().await;
    let app = world.bench.app();
    let (query, cookie) = world.consent(&app, SHOP).await;
    let (_, of_another) = world.consent(&app, SHOP).await;
    let before = world.bench.dump();
    let now = world.bench.clock.now().seconds();
    let state = cookie.split_once('=').unwrap().1.to_owned();
    let sign = |parameters: &[(&str, &str)]| world.shopify.signed_query(parameters);
    let at = |seconds: i64| (now + seconds).to_string();
    let (fresh, old, early) = (at(0), at(-91), at(91));
    let with = |time: &str, shop: &str, state: &str, code: &str| {
        sign(&[("code", code), ("shop", shop), ("state", state), ("timestamp", time)])
    };
    let flipped = {
        let at = query.find("hmac=").unwrap() + 5;
        let digit = if &query[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &query[..at], &query[at + 1..])
    };
    for (what, query, cookies, expected) in [
        (
            "no hmac",
            query.split("&hmac").next().unwrap().to_owned(),
            vec![cookie.clone()],
            ProblemKind::UnsignedQuery,
        ),
        ("another hmac", flipped, vec![cookie.clone()], ProblemKind::UnsignedQuery),
        ("more than signed", format!("{query}&x=1"), vec![cookie.clone()], ProblemKind::UnsignedQuery),
        (
            "a shop twice",
            format!("{query}&shop=b.myshopify.com"),
            vec![cookie.clone()],
            ProblemKind::InvalidQuery,
        ),
        ("too old", with(&old, SHOP, &state, "c"), vec![cookie.clone()], ProblemKind::UnsignedQuery),
        ("too early", with(&early, SHOP, &state, "c"), vec![cookie.clone()], ProblemKind::UnsignedQuery),
        ("no cookie", query.clone(), vec![], ProblemKind::StateMismatch),
        ("another browser's", query.clone(), vec![of_another.clone()], ProblemKind::StateMismatch),
        ("two cookies", query.clone(), vec![cookie.clone(), of_another], ProblemKind::StateMismatch),
        (
            "no state",
            sign(&[("code", "c"), ("shop", SHOP), ("timestamp", &fresh)]),
            vec![cookie.clone()],
            ProblemKind::InvalidQuery,
        ),
        (
            "no shop's domain",
            with(&fresh, "example.com", &state, "c"),
            vec![cookie.clone()],
            ProblemKind::InvalidQuery,
        ),
        ("no code", with(&fresh, SHOP, &state, ""), vec![cookie.clone()], ProblemKind::InvalidQuery),
    ] {
        assert_eq!(problem_of(&callback(&app, &query, &cookies).await), kind(expected), "{what}");
    }
    assert_eq!(world.token_calls(), 0, "Shopify was not asked");
    let invented = with(&fresh, SHOP, &state, "invented");
    let answer = callback(&app, &invented, std::slice::from_ref(&cookie)).await;
    assert_eq!(problem_of(&answer), kind(ProblemKind::ConsentRefused));
    assert_eq!(world.bench.dump(), before, "nothing was stored");
    // A state ends after ten minutes, whatever the browser keeps.
    world.bench.clock.advance(MINUTE * 10);
    let late = with(&world.bench.clock.now().seconds().to_string(), SHOP, &state, "c");
    assert_eq!(problem_of(&callback(&app, &late, &[cookie]).await), kind(ProblemKind::StateMismatch));
}

#[tokio::test]
async fn a_merchant_who_grants_too_little_is_told_what_lacks_and_nothing_is_installed() {
    let world = World::new().await;
    let app = world.bench.app();
    world.shopify.set_grantable(SHOP, &["read_orders"]);
    let (query, cookie) = world.consent(&app, SHOP).await;
    let before = world.bench.dump();
    let answer = callback(&app, &query, &[cookie]).await;
    assert_eq!(problem_of(&answer), kind(ProblemKind::ScopesLacking));
    assert!(answer["body"].as_str().unwrap().contains("write_orders"));
    assert_eq!(world.bench.dump(), before);
}

#[tokio::test]
async fn opening_the_app_installs_it_and_forged_tokens_open_nothing() {
    let world = World::new().await;
    let app = world.bench.app();
    let genuine = world.shopify.session_token(SHOP);
    let before = world.bench.dump();
    // Not installed at Shopify: genuine, and refused there.
    assert_eq!(problem_of(&exchange(&app, &genuine).await), kind(ProblemKind::InvalidSession));
    let other = Shopify::new(Arc::new(world.bench.clock.clone())).unwrap();
    let made_by = |client_id: &str, secret: &str, domain: &str| {
        other.set_app(AppCredentials {
            client_id: client_id.to_owned(),
            client_secrets: vec![secret.to_owned()],
            redirect_urls: vec![],
        });
        other.session_token(domain)
    };
    let calls = world.token_calls();
    let unsigned = {
        let claims = genuine.split('.').nth(1).unwrap();
        format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))
    };
    for (what, token) in [
        ("of another app", made_by("another-app", SECRETS[0], SHOP)),
        ("signed by a stranger", made_by(CLIENT_ID, "test-stranger", SHOP)),
        ("of no shop", made_by(CLIENT_ID, SECRETS[0], "example.com")),
        ("unsigned", unsigned),
        ("of two shops", two_shops(world.bench.clock.now().seconds())),
        ("nothing", String::new()),
    ] {
        let answer = exchange(&app, &token).await;
        assert_eq!(problem_of(&answer), kind(ProblemKind::InvalidSession), "{what}");
        assert_eq!(answer["headers"]["x-shopify-retry-invalid-session-request"], "1", "{what}");
    }
    assert_eq!((world.token_calls(), world.bench.dump()), (calls, before));
    world.shopify.install(shop(SHOP, NUMBER));
    for secret in SECRETS {
        let answer = exchange(&app, &made_by(CLIENT_ID, secret, SHOP)).await;
        assert_eq!(answer["statusCode"], 200, "both secrets count while one is rotated: {answer}");
    }
    let installed = installation(&app).await.unwrap();
    assert_eq!(installed.access_revision(), 2, "installed, then renewed");
    assert!(world.works(&access(&app, &installed).await.unwrap()).await);
    world.bench.clock.advance(Duration::from_secs(70));
    assert_eq!(
        problem_of(&exchange(&app, &genuine).await),
        kind(ProblemKind::InvalidSession),
        "its minute is over"
    );
}

fn two_shops(now: i64) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://other.myshopify.com/admin", "dest": format!("https://{SHOP}"), "aud": CLIENT_ID,
        "exp": now + 60, "nbf": now,
    });
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRETS[0].as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

#[tokio::test]
async fn tokens_are_renewed_five_minutes_before_they_end_and_both_rotate() {
    let (world, app, first) = World::connected().await;
    let before = first.access().unwrap().unwrap();
    world.bench.clock.advance(Duration::from_secs(3299));
    assert_eq!(access(&app, &first).await.as_ref(), Some(&before.token));
    world.bench.clock.advance(Duration::from_secs(1));
    let renewed = access(&app, &first).await.unwrap();
    assert_ne!(renewed, before.token);
    let stored = installation(&app).await.unwrap().access().unwrap().unwrap();
    assert_eq!(stored.token, renewed);
    assert_ne!(stored.refresh, before.refresh);
    assert!(world.works(&renewed).await);
    // Who still holds the row as it was before uses what the other stored.
    assert_eq!(access(&app, &first).await, Some(renewed));
    assert_eq!(world.token_calls(), 2);
    // Weeks of silence are no end; 90 days are, and are noted.
    world.bench.clock.advance(HOUR * 24 * 60);
    let later = installation(&app).await.unwrap();
    assert!(world.works(&access(&app, &later).await.unwrap()).await);
    world.bench.clock.advance(HOUR * 24 * 91);
    let later = installation(&app).await.unwrap();
    assert_eq!(access(&app, &later).await, None);
    assert!(installation(&app).await.unwrap().disconnected_at().is_some());
}

#[tokio::test]
async fn the_old_refresh_token_counts_until_its_replacement_is_used() {
    let (world, _, installation) = World::connected().await;
    let first = installation.access().unwrap().unwrap().refresh.unwrap().token;
    let shopify = world.shopify_client();
    let shop = SHOP.parse().unwrap();
    let credentials = Credentials { client_id: CLIENT_ID, client_secret: SECRETS[0] };
    let second = shopify.refresh(&shop, credentials, &first).await.unwrap().refresh.unwrap().token;
    let again = shopify.refresh(&shop, credentials, &first).await.unwrap().refresh.unwrap().token;
    assert_ne!(second, again);
    shopify.refresh(&shop, credentials, &again).await.unwrap();
    assert_eq!(shopify.refresh(&shop, credentials, &first).await, Err(ClientError::Unauthorized));
    let wrong = Credentials { client_secret: "test-wrong", ..credentials };
    let refused = shopify.refresh(&shop, wrong, &again).await;
    assert_eq!(refused, Err(ClientError::Rejected("invalid_client".to_owned())), "the shop's consent stands");
}

/// At every request of one instance's renewal, another instance's whole need for a token comes in between.
#[tokio::test]
async fn two_instances_that_need_a_token_at_once_both_get_one_and_none_is_lost() {
    let mut at = 0;
    loop {
        let (world, calm, first) = World::connected().await;
        // Due, and still alive: nobody has to wait.
        world.bench.clock.advance(MINUTE * 57);
        let other = Arc::new(world.bench.app());
        let (requests, intruded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let direct = world.bench.transport();
        let way = {
            let (requests, intruded, first) = (Arc::clone(&requests), Arc::clone(&intruded), first.clone());
            let other = Arc::clone(&other);
            transport(move |request| {
                let number = requests.fetch_add(1, Ordering::SeqCst);
                let (direct, intruded, first) = (direct.clone(), Arc::clone(&intruded), first.clone());
                let other = Arc::clone(&other);
                async move {
                    if number == at {
                        let token = access(&other, &first).await;
                        assert!(token.is_some(), "the other one gets a token");
                        intruded.fetch_add(1, Ordering::SeqCst);
                    }
                    direct(request).await
                }
            })
        };
        let app = world.bench.app_through(way, FaultPlan::none());
        let token = access(&app, &first).await.expect("a token");
        assert!(world.works(&token).await, "request {at}");
        let stored = installation(&calm).await.unwrap().access().unwrap().expect("none is lost");
        assert!(world.works(&stored.token).await, "request {at}");
        assert_eq!(world.token_calls(), 2, "request {at}: one of them asked Shopify");
        // What is stored can be renewed again.
        world.bench.clock.advance(HOUR);
        let row = installation(&calm).await.unwrap();
        assert!(world.works(&access(&calm, &row).await.unwrap()).await, "request {at}");
        if intruded.load(Ordering::SeqCst) == 0 {
            break;
        }
        at += 1;
    }
    assert!(at >= 4, "{at} requests");
}

#[tokio::test]
async fn whoever_waits_for_an_ended_token_gets_what_another_renewed_or_may_try_again() {
    // Given a token that has ended, and two instances that need one: one of them can only wait.
    let (world, app, first) = World::connected().await;
    world.bench.clock.advance(HOUR * 2);
    let other = world.bench.app();
    let (one, two) = tokio::join!(access(&app, &first), access(&other, &first));
    assert!(one.is_some() && one == two, "both have the same");
    assert!(world.works(&one.unwrap()).await);
    assert_eq!(world.token_calls(), 2, "one of them asked Shopify");
    // Given an instance that ended with the renewal to itself.
    world.bench.clock.advance(HOUR * 2);
    let row = installation(&app).await.unwrap();
    let until = world.bench.clock.now() + Duration::from_secs(20);
    assert!(other.store().await.lease_access(&row, until).await.unwrap());
    // Then who waits for it gives up in time to be tried again; nothing goes over a socket meanwhile.
    tokio::time::pause();
    let error = in_job(app.context(JOB).admin_access(&row)).await.unwrap_err();
    tokio::time::resume();
    assert!(error.is_transient(), "{error}");
    assert_eq!(world.token_calls(), 2);
    // And when the lease has ended there is a token again.
    world.bench.clock.advance(Duration::from_secs(20));
    assert!(world.works(&access(&app, &row).await.unwrap()).await);
    assert_eq!(world.token_calls(), 3);
}

#[tokio::test]
async fn an_instance_that_ends_anywhere_in_a_renewal_leaves_a_shop_that_can_be_renewed() {
    let mut struck = 0;
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::TimeoutBefore, Fault::TimeoutAfter] {
        for at in 0.. {
            let (world, calm, first) = World::connected().await;
            world.bench.clock.advance(HOUR * 2);
            let app = world.bench.app_through(world.bench.transport(), FaultPlan::none().at(at, fault));
            let ended = Box::pin(app.connector.run(in_job(app.context(JOB).admin_access(&first)))).await;
            let undisturbed = app.connector.requests().len() <= at;
            struck += usize::from(!matches!(ended, Outcome::Finished(Ok(Some(_)))));
            // The lease ends by itself.
            world.bench.clock.advance(Duration::from_secs(20));
            let row = installation(&calm).await.unwrap();
            let token = access(&calm, &row).await.expect("connected still");
            assert!(world.works(&token).await, "{fault:?} at {at}");
            world.bench.clock.advance(HOUR * 2);
            let row = installation(&calm).await.unwrap();
            assert!(world.works(&access(&calm, &row).await.unwrap()).await, "{fault:?} at {at}");
            if undisturbed {
                break;
            }
        }
    }
    assert!(struck >= 8, "{struck}");
}

#[tokio::test]
async fn a_shop_that_shopify_refuses_is_disconnected_until_the_app_is_opened_again() {
    let (world, app, _) = World::connected().await;
    world.bench.clock.advance(HOUR * 2);
    // Gone and back, and the webhook has not come yet: the old tokens are void.
    world.shopify.uninstall(SHOP);
    let row = installation(&app).await.unwrap();
    assert_eq!(access(&app, &row).await, None);
    let row = installation(&app).await.unwrap();
    assert!(row.disconnected_at().is_some() && row.access().unwrap().is_none() && row.is_installed());
    assert_eq!(access(&app, &row).await, None);
    assert_eq!(world.token_calls(), 2, "Shopify is not asked again and again");
    world.shopify.install(shop(SHOP, NUMBER));
    world.bench.clock.advance(MINUTE);
    assert_eq!(exchange(&app, &world.shopify.session_token(SHOP)).await["statusCode"], 200);
    let row = installation(&app).await.unwrap();
    assert_eq!(row.disconnected_at(), None);
    assert!(world.works(&access(&app, &row).await.unwrap()).await);
    // The uninstall from before that is late news now.
    let mut late = sample("webhooks/app-uninstalled/plain");
    let told = world.bench.clock.now() - Duration::from_secs(30);
    late["headers"]["x-shopify-triggered-at"] = json!(told.to_rfc3339());
    assert_eq!(app.post("webhooks/app-uninstalled", late).await.1["outcome"], "refused");
}

#[tokio::test]
async fn a_bad_day_at_shopify_disconnects_nobody() {
    let (world, app, _) = World::connected().await;
    world.bench.clock.advance(MINUTE * 57);
    let row = installation(&app).await.unwrap();
    world.shopify.fail_next(http::StatusCode::BAD_GATEWAY);
    assert!(access(&app, &row).await.is_some(), "the old one has three minutes left");
    world.bench.clock.advance(HOUR);
    let row = installation(&app).await.unwrap();
    world.shopify.fail_next(http::StatusCode::BAD_GATEWAY);
    let failed = in_job(app.context(JOB).admin_access(&row)).await.unwrap_err();
    assert!(failed.is_transient(), "{failed}");
    // And the next one need not wait for the lease.
    assert!(world.works(&access(&app, &row).await.unwrap()).await);
}

#[tokio::test]
async fn an_uninstall_destroys_the_tokens_and_another_install_is_another_installation() {
    let (world, app, first) = World::connected().await;
    world.shopify.uninstall(SHOP);
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    let ended = installation(&app).await.unwrap();
    assert!(!ended.is_installed() && ended.access().unwrap().is_none());
    assert!(world.bench.items("shop").iter().all(|item| item.get("access").is_none()));
    assert_eq!(access(&app, &first).await.as_ref(), first.access().unwrap().map(|old| old.token).as_ref());
    world.bench.clock.advance(HOUR);
    // A renewal that began before the uninstall has nowhere to go.
    assert_eq!(access(&app, &first).await, None);
    let (query, cookie) = world.consent(&app, SHOP).await;
    assert_eq!(callback(&app, &query, &[cookie]).await["statusCode"], 302);
    let second = installation(&app).await.unwrap();
    assert!(second.tenant.generation > first.tenant.generation && second.is_installed());
    assert!(world.works(&access(&app, &second).await.unwrap()).await);
}

#[tokio::test]
async fn changed_scopes_are_kept_and_late_news_of_them_is_not() {
    let (world, app, _) = World::connected().await;
    let news = |id: &str, current: &[&str], at: &str| {
        let mut body = sample_body("webhooks/app-scopes-update/fewer");
        body["current"] = json!(current);
        body["updated_at"] = json!(at);
        delivery("app/scopes_update", id, &body)
    };
    let scopes = async || installation(&app).await.unwrap().access().unwrap().unwrap().scopes.to_string();
    let function = "webhooks/app-scopes-update";
    let outcome = async |event| app.post(function, event).await.1["outcome"].clone();
    // From before the installation.
    assert_eq!(outcome(news("1", &[], "2026-11-20T15:59:59Z")).await, "duplicate");
    assert_eq!(scopes().await, "read_orders,write_orders");
    assert_eq!(outcome(news("3", &["read_orders"], "2026-11-20T16:05:00Z")).await, "accepted");
    assert_eq!(outcome(news("2", &["write_orders"], "2026-11-20T16:04:00Z")).await, "duplicate");
    assert_eq!(scopes().await, "read_orders");
    let mut other = sample_body("webhooks/app-scopes-update/fewer");
    other["shop_id"] = json!("gid://shopify/Shop/1");
    assert_eq!(app.post(function, delivery("app/scopes_update", "4", &other)).await.0, 400);
    assert!(world.works(&access(&app, &installation(&app).await.unwrap()).await.unwrap()).await);
}

#[tokio::test]
async fn a_changed_shop_is_kept_sealed_and_a_late_delivery_changes_nothing() {
    let (world, app, _) = World::connected().await;
    let news = |id: &str, email: &str, at: &str| {
        let mut body = sample_body("webhooks/shop-update/plain");
        body["email"] = json!(email);
        body["updated_at"] = json!(at);
        delivery("shop/update", id, &body)
    };
    let outcome = async |event| app.post("webhooks/shop-update", event).await.1["outcome"].clone();
    assert_eq!(outcome(news("2", "second@example.com", "2026-11-20T16:05:00Z")).await, "accepted");
    assert_eq!(outcome(news("1", "first@example.com", "2026-11-20T16:04:00Z")).await, "duplicate");
    let row = installation(&app).await.unwrap();
    let profile = row.profile().unwrap();
    assert_eq!(profile.email.unwrap().expose(), "second@example.com");
    assert_eq!(
        (profile.plan.as_deref(), profile.public_domain.as_deref()),
        (Some("Grow"), Some("store.example.com"))
    );
    assert!(!format!("{:?}", world.bench.dump()).contains("second@example.com"));
    // Opening the app asks the shop; its answer is older than the news.
    assert_eq!(exchange(&app, &world.shopify.session_token(SHOP)).await["statusCode"], 200);
    let profile = installation(&app).await.unwrap().profile().unwrap();
    assert_eq!(profile.email.unwrap().expose(), "second@example.com");
}

/// A delivery as of then: Shopify tells when something happened in a header that nobody signed.
fn told_at(mut event: Value, at: Timestamp) -> Value {
    event["headers"]["x-shopify-triggered-at"] = json!(at.to_rfc3339());
    event
}

const UNINSTALLED: &str = "webhooks/app-uninstalled";

/// What somebody who saw a `shop/update` can make of it: its signature counts under every topic.
fn replayed(id: &str) -> Value {
    delivery("app/uninstalled", id, &sample_body("webhooks/shop-update/plain"))
}

async fn in_ledger(world: &World, app: &App, what: What) -> Vec<String> {
    let store = app.store().await;
    let shop = store.shop_id(&SHOP.parse().unwrap());
    let entries = store.ledger_of(&shop, world.bench.clock.now()).await.unwrap();
    entries.into_iter().filter(|entry| entry.what == what).map(|entry| entry.why).collect()
}

#[tokio::test]
async fn a_replayed_body_of_another_topic_ends_no_installation() {
    // Given an installed shop, in the first hour of its token and after it.
    for age in [MINUTE * 10, HOUR * 5] {
        let (world, app, first) = World::connected().await;
        world.bench.clock.advance(age);
        let now = world.bench.clock.now();
        // When a body that Shopify signed for shop/update comes as app/uninstalled.
        let (status, fresh) = app.post(UNINSTALLED, told_at(replayed("1"), now)).await;
        assert_eq!((status, fresh["type"].as_str()), (503, Some("urn:storeward:problem:unavailable")));
        assert_eq!(in_ledger(&world, &app, What::Refused).await, Vec::<String>::new());
        let later = now + Duration::from_hours(1);
        for (id, event) in [
            ("2", replayed("2")),
            ("3", told_at(replayed("3"), now - MINUTE * 2)),
            ("4", told_at(replayed("4"), later)),
        ] {
            let (status, answer) = app.post(UNINSTALLED, event).await;
            let expected = if id == "4" { (503, Value::Null) } else { (200, json!("installed")) };
            assert_eq!((status, answer["because"].clone()), expected, "{id}: {answer}");
        }
        // Then the shop is as it was, nothing is scheduled, and the ledger has what was refused.
        let row = installation(&app).await.unwrap();
        assert!(row.is_installed() && row.tenant == first.tenant);
        assert!(world.works(&access(&app, &row).await.unwrap()).await);
        assert_eq!(world.bench.cloud.scheduler().next_due(), None);
        assert_eq!(in_ledger(&world, &app, What::Refused).await, ["app/uninstalled", "app/uninstalled"]);
        // And a real uninstall is one, at once.
        world.shopify.uninstall(SHOP);
        let genuine =
            told_at(delivery("app/uninstalled", "5", &sample_body("webhooks/app-uninstalled/plain")), now);
        assert_eq!(app.post(UNINSTALLED, genuine).await.1["outcome"], "accepted");
        assert!(!installation(&app).await.unwrap().is_installed());
        assert!(world.bench.cloud.scheduler().next_due().is_some());
    }
}

#[tokio::test]
async fn an_uninstall_that_shopify_does_not_confirm_is_asked_for_again() {
    let (world, app, _) = World::connected().await;
    let before = world.bench.dump();
    let event = || sample("webhooks/app-uninstalled/plain");
    for status in [403, 429, 500, 502, 503] {
        world.shopify.fail_next(http::StatusCode::from_u16(status).unwrap());
        assert_eq!(app.post(UNINSTALLED, event()).await.0, 503, "{status}");
    }
    world.shopify.drain(SHOP);
    assert_eq!(app.post(UNINSTALLED, event()).await.0, 503, "throttled");
    assert_eq!(world.bench.dump(), before, "nothing was done");
    assert_eq!(world.bench.cloud.scheduler().next_due(), None);
    // When Shopify's own trouble is over.
    world.shopify.uninstall(SHOP);
    assert_eq!(app.post(UNINSTALLED, event()).await.1["outcome"], "accepted");
    assert_eq!(app.post(UNINSTALLED, event()).await.1["outcome"], "duplicate");
    // A shop that nobody can enter cannot say, whether its token still counts or has to be renewed: what was signed counts.
    for (status, age) in CLOSED {
        let (world, app, _) = World::connected().await;
        world.bench.clock.advance(age);
        world.shopify.fail_next(http::StatusCode::from_u16(status).unwrap());
        assert_eq!(app.post(UNINSTALLED, event()).await.1["outcome"], "accepted", "{status} after {age:?}");
    }
}

/// How Shopify answers for a shop that is closed, and how old the token is that is asked with.
const CLOSED: [(u16, Duration); 6] = [
    (402, Duration::ZERO),
    (404, Duration::ZERO),
    (423, Duration::ZERO),
    (402, Duration::from_hours(5)),
    (404, Duration::from_hours(5)),
    (423, Duration::from_hours(5)),
];

/// At every request to AWS that an uninstall makes, the merchant installs the app again.
#[tokio::test]
async fn an_uninstall_that_crosses_another_install_does_not_end_it() {
    let mut at = 0;
    loop {
        let (world, calm, _) = World::connected().await;
        world.bench.clock.advance(MINUTE * 10);
        world.shopify.uninstall(SHOP);
        let (other, shopify) = (Arc::new(world.bench.app()), world.shopify.clone());
        let (requests, intruded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let direct = world.bench.transport();
        let way = {
            let (requests, intruded) = (Arc::clone(&requests), Arc::clone(&intruded));
            transport(move |request| {
                let number = requests.fetch_add(1, Ordering::SeqCst);
                let (direct, intruded) = (direct.clone(), Arc::clone(&intruded));
                let (other, shopify) = (Arc::clone(&other), shopify.clone());
                async move {
                    if number == at {
                        shopify.install(shop(SHOP, NUMBER));
                        let answer = exchange(&other, &shopify.session_token(SHOP)).await;
                        assert_eq!(answer["statusCode"], 200, "{answer}");
                        intruded.fetch_add(1, Ordering::SeqCst);
                    }
                    direct(request).await
                }
            })
        };
        let app = world.bench.app_through(way, FaultPlan::none());
        let (status, answer) = app
            .post(
                UNINSTALLED,
                delivery("app/uninstalled", "1", &sample_body("webhooks/app-uninstalled/plain")),
            )
            .await;
        if intruded.load(Ordering::SeqCst) == 0 {
            assert_eq!(answer["outcome"], "accepted");
            break;
        }
        assert!([200, 503].contains(&status), "request {at}: {answer}");
        let row = installation(&calm).await.unwrap();
        assert!(row.is_installed(), "request {at}: {answer}");
        assert!(world.works(&access(&calm, &row).await.unwrap()).await, "request {at}");
        // And nothing of the purge that may have been scheduled meanwhile reaches it. No socket from here on.
        tokio::time::pause();
        world.bench.advance(HOUR * 37).await;
        world.bench.fire_schedules().await;
        world.bench.drain(&calm).await;
        assert!(installation(&calm).await.unwrap().is_installed(), "request {at}");
        tokio::time::resume();
        at += 1;
    }
    assert!(at >= 4, "{at} requests");
}

#[tokio::test]
async fn shop_redact_makes_up_for_an_uninstall_that_was_never_told() {
    let redact = |id: &str| delivery("shop/redact", id, &sample_body("webhooks/shop-redact/plain"));
    // Given that the bundle noticed nothing, or that Shopify refused to renew its tokens.
    for noticed in [false, true] {
        let (world, app, first) = World::connected().await;
        app.order("w1", &order(1, 1)).await;
        world.bench.drain(&app).await;
        world.shopify.uninstall(SHOP);
        world.bench.clock.advance(HOUR * 35);
        if noticed {
            assert_eq!(access(&app, &installation(&app).await.unwrap()).await, None);
        }
        // When shop/redact comes earlier than Shopify sends it, or pretends to have been sent earlier.
        let calls = world.shopify.calls().len();
        let refused = app.post("webhooks/shop-redact", redact("1")).await;
        assert_eq!(refused, (200, json!({"outcome": "refused", "because": "installed"})));
        world.bench.clock.advance(HOUR * 13);
        let early = told_at(redact("2"), first.installed_at + HOUR * 35);
        assert_eq!(app.post("webhooks/shop-redact", early).await.1["outcome"], "refused");
        assert_eq!(world.shopify.calls().len(), calls, "Shopify is not asked");
        // Then it is refused; and when it comes in time, the shop is uninstalled and purged at once.
        let answer = app.post("webhooks/shop-redact", redact("3")).await;
        assert_eq!(answer, (200, json!({"outcome": "accepted"})));
        assert_eq!(in_ledger(&world, &app, What::Uninstalled).await, ["shop/redact"]);
        // No socket from here on.
        tokio::time::pause();
        world.bench.drain(&app).await;
        world.bench.live(&app, 2).await;
        assert_eq!(world.bench.left_of(&first.tenant), Vec::<String>::new());
        assert_eq!(in_ledger(&world, &app, What::ShopPurged).await, ["shop/redact"]);
        assert_eq!(app.post("webhooks/shop-redact", redact("3")).await.1["outcome"], "nothing_to_do");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn shop_redact_deletes_a_closed_shop_whose_uninstall_was_never_told() {
    for (status, age) in CLOSED {
        // Given a shop that its merchant closed, which nobody was told of: Shopify lets nobody in, with whatever token.
        let (world, app, shop) = World::connected().await;
        app.order("w1", &order(1, 1)).await;
        world.bench.drain(&app).await;
        world.bench.clock.advance(HOUR * 48);
        if age.is_zero() {
            assert!(access(&app, &shop).await.is_some(), "renewed just now");
        }
        world.shopify.fail_next(http::StatusCode::from_u16(status).unwrap());
        // When shop/redact comes.
        let redact = delivery("shop/redact", "1", &sample_body("webhooks/shop-redact/plain"));
        let answer = app.post("webhooks/shop-redact", redact).await;
        // Then it is obeyed as it was signed.
        assert_eq!(answer, (200, json!({"outcome": "accepted"})), "{status} after {age:?}");
        assert_eq!(in_ledger(&world, &app, What::Uninstalled).await, ["shop/redact"]);
        // No socket from here on.
        tokio::time::pause();
        world.bench.drain(&app).await;
        world.bench.live(&app, 2).await;
        tokio::time::resume();
        assert_eq!(world.bench.left_of(&shop.tenant), Vec::<String>::new(), "{status} after {age:?}");
    }
}

#[tokio::test]
async fn shop_redact_does_not_touch_a_shop_that_shopify_lets_the_app_into() {
    let (world, app, first) = World::connected().await;
    world.bench.clock.advance(HOUR * 48);
    let redact = |id: &str| delivery("shop/redact", id, &sample_body("webhooks/shop-redact/plain"));
    let answer = app.post("webhooks/shop-redact", redact("1")).await;
    assert_eq!(answer, (200, json!({"outcome": "refused", "because": "installed"})));
    // The token was renewed by that: now Shopify does not answer, or not who asks from there.
    for status in [http::StatusCode::BAD_GATEWAY, http::StatusCode::FORBIDDEN] {
        world.shopify.fail_next(status);
        assert_eq!(app.post("webhooks/shop-redact", redact("2")).await.0, 503, "{status}");
    }
    let row = installation(&app).await.unwrap();
    assert!(row.is_installed() && row.tenant == first.tenant);
    assert!(world.works(&access(&app, &row).await.unwrap()).await);
    assert_eq!(world.bench.messages().await, 0);
}
