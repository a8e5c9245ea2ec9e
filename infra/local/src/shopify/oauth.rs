//! The consent side of the simulated Shopify: authorisation, the token endpoint, expiring tokens that rotate, and what
//! the admin hands to an app it opens. It approves at once whatever it is asked for, up to what a shop would grant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use ring::hmac;
use serde_json::{Value, json};
use storeward_core::oauth::Query as SignedQuery;
use storeward_core::time::Timestamp;

use super::{Call, REMEMBERED, Shopify};

/// Shopify's number of whoever of the staff opens the app here: visibly nobody's.
pub const STAFF: &str = "42";

/// How long an access token counts.
const ACCESS_LIFETIME: Duration = Duration::from_hours(1);
/// How long a refresh token counts.
const REFRESH_LIFETIME: Duration = Duration::from_hours(90 * 24);
/// How long a refresh token that was used counts, while its replacement is not used (changelog of 2026-08-28).
const RETRY_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// How long a code counts.
const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// How long a session token counts.
const SESSION_LIFETIME: Duration = Duration::from_mins(1);

/// The app as Shopify knows it.
#[derive(Clone, Debug, Default)]
pub struct AppCredentials {
    /// Its client id.
    pub client_id: String,
    /// Its client secrets, the current one first: the oldest signs.
    pub client_secrets: Vec<String>,
    /// Where a callback may go.
    pub redirect_urls: Vec<String>,
}

/// What a shop's consent has led to.
#[derive(Default)]
pub(super) struct Consent {
    /// What a merchant would grant; everything where nothing is said.
    grantable: Option<BTreeSet<String>>,
    /// Codes that wait to be exchanged: until when, and for what.
    codes: BTreeMap<String, (Timestamp, BTreeSet<String>)>,
    /// Expiring access tokens.
    access: BTreeMap<String, Timestamp>,
    refresh: BTreeMap<String, RefreshState>,
}

/// A refresh token.
struct RefreshState {
    expires_at: Timestamp,
    /// The one it replaced: retired when this one is used.
    before: Option<String>,
    /// When it was first used.
    used_at: Option<Timestamp>,
}

impl Consent {
    /// Whether an expiring access token counts.
    pub(super) fn allows(&self, token: &str, now: Timestamp) -> bool {
        self.access.get(token).is_some_and(|end| now < *end)
    }

    /// The app was removed: nothing counts any more.
    pub(super) fn revoke(&mut self) {
        self.codes.clear();
        self.access.clear();
        self.refresh.clear();
    }

    /// A new pair of tokens.
    fn grant(
        &mut self,
        number: u64,
        scopes: &BTreeSet<String>,
        before: Option<String>,
        now: Timestamp,
    ) -> Value {
        let (access, refresh) = (format!("shpat_test_{number:08}"), format!("shprt_test_{number:08}"));
        self.access.insert(access.clone(), now + ACCESS_LIFETIME);
        let state = RefreshState { expires_at: now + REFRESH_LIFETIME, before, used_at: None };
        self.refresh.insert(refresh.clone(), state);
        json!({
            "access_token": access, "scope": scopes.iter().cloned().collect::<Vec<_>>().join(","),
            "expires_in": ACCESS_LIFETIME.as_secs(), "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_LIFETIME.as_secs(),
        })
    }

    /// Uses a refresh token: the one it replaced is retired, and it counts itself until its own replacement is used.
    fn use_refresh(&mut self, token: &str, now: Timestamp) -> bool {
        let Some(state) = self.refresh.get_mut(token) else { return false };
        let retried = state.used_at.is_some_and(|used| now >= used + RETRY_LIFETIME);
        if now >= state.expires_at || retried {
            return false;
        }
        state.used_at.get_or_insert(now);
        if let Some(before) = state.before.take() {
            self.refresh.remove(&before);
        }
        true
    }
}

type Refusal = (StatusCode, &'static str);

impl Shopify {
    /// Says which app this is the Shopify of.
    pub fn set_app(&self, app: AppCredentials) {
        self.world().app = app;
    }

    /// Says what a shop's merchant would grant at most.
    pub fn set_grantable(&self, domain: &str, scopes: &[&str]) {
        if let Some(shop) = self.world().shops.get_mut(domain) {
            shop.consent.grantable = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        }
    }

    /// A session token as the admin of a shop hands it to the app it shows.
    #[must_use]
    pub fn session_token(&self, domain: &str) -> String {
        let now = self.clock.now();
        let app = self.world().app.clone();
        let claims = json!({
            "iss": format!("https://{domain}/admin"), "dest": format!("https://{domain}"), "aud": app.client_id,
            "sub": STAFF, "exp": (now + SESSION_LIFETIME).seconds(), "nbf": now.seconds(), "iat": now.seconds(),
            "jti": format!("jti-{}", now.millis()), "sid": "test-session",
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(&app, message.as_bytes())))
    }

    /// The query of a callback as Shopify signs it: hmac and all, ready to be put after a question mark.
    #[must_use]
    pub fn signed_query(&self, parameters: &[(&str, &str)]) -> String {
        let mut raw = form_urlencoded::Serializer::new(String::new());
        raw.extend_pairs(parameters);
        let raw = raw.finish();
        let message = SignedQuery::parse(&raw).map(|query| query.signed_message()).unwrap_or_default();
        let app = self.world().app.clone();
        format!("{raw}&hmac={}", hex::encode(sign(&app, message.as_bytes())))
    }

    pub(super) fn consent_router(&self) -> Router {
        Router::new()
            .route("/{shop}/admin/oauth/authorize", get(authorize))
            .route("/{shop}/admin/oauth/access_token", post(access_token))
            .route("/{shop}/admin/apps/{app}", get(open_app))
            .with_state(self.clone())
    }

    /// Where a browser goes on from the page of consent.
    fn authorize(&self, domain: &str, asked: &BTreeMap<String, String>) -> Result<String, Refusal> {
        let now = self.clock.now();
        let of = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let code = {
            let mut world = self.world();
            let world = &mut *world;
            if of("client_id") != world.app.client_id {
                return Err((StatusCode::BAD_REQUEST, "application_cannot_be_found"));
            }
            if !world.app.redirect_urls.iter().any(|known| known == of("redirect_uri")) {
                return Err((StatusCode::BAD_REQUEST, "invalid_request"));
            }
            let shop = world.shops.get_mut(domain).ok_or((StatusCode::NOT_FOUND, "not_found"))?;
            let wanted = of("scope").split(',').filter(|scope| !scope.is_empty());
            let grantable = shop.consent.grantable.as_ref();
            let granted = wanted.filter(|scope| grantable.is_none_or(|all| all.contains(*scope)));
            let granted = granted.map(str::to_owned).collect();
            world.next_token += 1;
            let code = format!("test-code-{:08}", world.next_token);
            shop.consent.codes.insert(code.clone(), (now + CODE_LIFETIME, granted));
            code
        };
        let host = STANDARD.encode(format!("{domain}/admin"));
        let at = now.seconds().to_string();
        let query = self.signed_query(&[
            ("code", &code),
            ("host", &host),
            ("shop", domain),
            ("state", of("state")),
            ("timestamp", &at),
        ]);
        Ok(format!("{}?{query}", of("redirect_uri")))
    }

    /// What the token endpoint answers.
    fn access_token(&self, domain: &str, body: &[u8]) -> Result<Value, Refusal> {
        let now = self.clock.now();
        let asked: Value =
            serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "invalid_request"))?;
        let of = |name: &str| asked[name].as_str().unwrap_or_default();
        let mut world = self.world();
        let world = &mut *world;
        if let Some(status) = world.failures.pop_front() {
            return Err((status, "failed"));
        }
        let shop = world.shops.get_mut(domain).ok_or((StatusCode::NOT_FOUND, "not_found"))?;
        let known = world.app.client_secrets.iter().any(|secret| secret == of("client_secret"));
        if of("client_id") != world.app.client_id || !known {
            return Err((StatusCode::BAD_REQUEST, "invalid_client"));
        }
        world.next_token += 1;
        let number = world.next_token;
        match of("grant_type") {
            "" | "authorization_code" => {
                let waiting = shop.consent.codes.remove(of("code")).filter(|(end, _)| now < *end);
                let (_, scopes) = waiting.ok_or((StatusCode::BAD_REQUEST, "invalid_request"))?;
                shop.profile.scopes = scopes;
                shop.installed = true;
                Ok(shop.consent.grant(number, &shop.profile.scopes, None, now))
            }
            "urn:ietf:params:oauth:grant-type:token-exchange" => {
                let asked_for = "urn:shopify:params:oauth:token-type:offline-access-token";
                if of("requested_token_type") != asked_for
                    || of("subject_token_type") != "urn:ietf:params:oauth:token-type:id_token"
                    || of("expiring") != "1"
                {
                    return Err((StatusCode::BAD_REQUEST, "invalid_request"));
                }
                if !shop.installed || !is_session_of(&world.app, domain, of("subject_token"), now) {
                    return Err((StatusCode::BAD_REQUEST, "invalid_subject_token"));
                }
                Ok(shop.consent.grant(number, &shop.profile.scopes, None, now))
            }
            "refresh_token" => {
                if !shop.installed {
                    return Err((StatusCode::UNAUTHORIZED, "invalid_request"));
                }
                let token = of("refresh_token").to_owned();
                if !shop.consent.use_refresh(&token, now) {
                    return Err((StatusCode::BAD_REQUEST, "invalid_grant"));
                }
                Ok(shop.consent.grant(number, &shop.profile.scopes, Some(token), now))
            }
            _ => Err((StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        }
    }
}

/// Whether a session token is one of this shop's admin for this app. Only as strict as a simulation needs: the app is
/// the one that has to be strict.
fn is_session_of(app: &AppCredentials, domain: &str, token: &str, now: Timestamp) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let signed = app.client_secrets.iter().any(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, message.as_bytes(), &signature).is_ok()
    });
    let claims = message.split_once('.').and_then(|(_, claims)| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    signed
        && claims["dest"] == format!("https://{domain}")
        && claims["exp"].as_i64().is_some_and(|end| now.seconds() < end)
}

/// Signs with the oldest secret, as Shopify does while one is rotated.
fn sign(app: &AppCredentials, message: &[u8]) -> hmac::Tag {
    let secret = app.client_secrets.last().map(String::as_str).unwrap_or_default();
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message)
}

async fn authorize(
    State(shopify): State<Shopify>,
    Path(shop): Path<String>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response<Body> {
    match shopify.authorize(&shop, &asked) {
        Ok(address) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            if let Ok(address) = HeaderValue::try_from(address) {
                response.headers_mut().insert(header::LOCATION, address);
            }
            response
        }
        Err((status, error)) => json_response(status, &json!({ "error": error })),
    }
}

async fn access_token(
    State(shopify): State<Shopify>,
    Path(shop): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let answer = shopify.access_token(&shop, &body);
    let (status, outcome, body) = match answer {
        Ok(granted) => (StatusCode::OK, "granted", granted),
        Err((status, error)) => (status, error, json!({ "error": error })),
    };
    let call = Call {
        at: shopify.clock.now(),
        shop,
        fields: vec!["oauth/access_token".to_owned()],
        // Secrets were in it.
        body: Bytes::new(),
        status: status.as_u16(),
        outcome: outcome.to_owned(),
    };
    let mut world = shopify.world();
    world.calls.push_back(call);
    if world.calls.len() > REMEMBERED {
        world.calls.pop_front();
    }
    drop(world);
    json_response(status, &body)
}

/// The app shown in the admin: what a browser would load in a frame is told, with the session token it gets.
async fn open_app(
    State(shopify): State<Shopify>,
    Path((shop, app)): Path<(String, String)>,
) -> Response<Body> {
    let (known, installed) = {
        let world = shopify.world();
        (world.app.client_id == app, world.shops.get(&shop).is_some_and(|shop| shop.installed))
    };
    if !known || !installed {
        return json_response(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
    }
    let host = STANDARD.encode(format!("{shop}/admin"));
    json_response(
        StatusCode::OK,
        &json!({ "shop": shop, "host": host, "embedded": "1", "id_token": shopify.session_token(&shop) }),
    )
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
