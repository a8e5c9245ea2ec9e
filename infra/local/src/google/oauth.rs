//! The consent side of the simulated Google: its page, which agrees at once, tokens and their end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ring::digest;
use serde_json::{Value, json};
use storeward_core::egress::Use;
use storeward_core::time::{MINUTE, Timestamp};

use super::{CLIENT_ID, CLIENT_SECRET, Google, Heard, World, json_response};

/// How long an access token counts: Google says a second less than an hour.
const ACCESS_LIFETIME: Duration = Duration::from_secs(3599);

/// How long a code counts.
const CODE_LIFETIME: Duration = MINUTE.saturating_mul(10);

/// What a merchant does on Google's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Says no.
    Denies,
    /// Agrees to these scopes of those that were asked for.
    Grants(BTreeSet<String>),
}

/// A code that waits to be exchanged.
struct Code {
    address: String,
    expires_at: Timestamp,
    redirect_uri: String,
    challenge: Option<String>,
    scopes: BTreeSet<String>,
    lasting: bool,
}

/// A consent and the tokens it has led to.
struct Grant {
    address: String,
    scopes: BTreeSet<String>,
    refresh: Option<String>,
    access: BTreeMap<String, Timestamp>,
}

/// All consents.
#[derive(Default)]
pub(super) struct Consents {
    codes: BTreeMap<String, Code>,
    grants: Vec<Grant>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) failures: VecDeque<StatusCode>,
    /// Which mailbox is chosen on the page.
    pub(super) chosen: Option<String>,
    /// Where a browser may come back to; anywhere on loopback where nothing is said.
    pub(super) redirects: Option<Vec<String>>,
    issued: u64,
}

impl Consents {
    /// Whose mailbox an access token opens, and with which scopes.
    pub(super) fn opened_by(&self, token: &str, now: Timestamp) -> Option<(&str, &BTreeSet<String>)> {
        let grant = self.grants.iter().find(|grant| grant.access.get(token).is_some_and(|end| now < *end))?;
        Some((&grant.address, &grant.scopes))
    }

    /// Ends all consents to a mailbox, as its owner can at any time.
    pub(super) fn end(&mut self, address: &str) {
        self.grants.retain(|grant| grant.address != address);
        self.codes.retain(|_, code| code.address != address);
    }

    /// Ends the access tokens of a mailbox before their time.
    pub(super) fn end_access(&mut self, address: &str) {
        let of_it = self.grants.iter_mut().filter(|grant| grant.address == address);
        of_it.for_each(|grant| grant.access.clear());
    }

    /// How many consents there are to a mailbox.
    pub(super) fn count(&self, address: &str) -> usize {
        self.grants.iter().filter(|grant| grant.address == address).count()
    }

    fn token(&mut self, kind: &str) -> String {
        self.issued += 1;
        // Told apart by number; the beginnings are Google's.
        match kind {
            "access" => format!("ya29.test-access-{:08}", self.issued),
            "refresh" => format!("1//test-refresh-{:08}", self.issued),
            _ => format!("4/0test-code-{:08}", self.issued),
        }
    }

    fn may_return_to(&self, uri: &str) -> bool {
        let on_loopback = || {
            let authority = uri.strip_prefix("http://").and_then(|rest| rest.split('/').next());
            authority.is_some_and(|authority| {
                let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
                ["127.0.0.1", "localhost"].contains(&name)
            })
        };
        self.redirects.as_ref().map_or_else(on_loopback, |known| known.iter().any(|known| known == uri))
    }
}

/// Status, error and description.
type Refusal = (StatusCode, &'static str, &'static str);

fn refusal(error: &'static str, description: &'static str) -> Refusal {
    (StatusCode::BAD_REQUEST, error, description)
}

impl World {
    /// Where a browser goes on from the page of consent; `Err` is what the page says instead.
    fn consent(&mut self, asked: &BTreeMap<String, String>, now: Timestamp) -> Result<String, Refusal> {
        let of = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        if of("client_id") != CLIENT_ID {
            return Err((StatusCode::UNAUTHORIZED, "invalid_client", "The OAuth client was not found."));
        }
        if !self.consents.may_return_to(of("redirect_uri")) {
            return Err(refusal(
                "redirect_uri_mismatch",
                "The redirect URI is not registered for this client.",
            ));
        }
        if of("response_type") != "code" {
            return Err(refusal("unsupported_response_type", "Only response_type=code is simulated."));
        }
        let wanted: BTreeSet<String> = of("scope").split_whitespace().map(str::to_owned).collect();
        if wanted.is_empty() {
            return Err(refusal("invalid_request", "Missing required parameter: scope"));
        }
        if asked.contains_key("code_challenge") && of("code_challenge_method") != "S256" {
            return Err(refusal("invalid_request", "Only code_challenge_method=S256 is simulated."));
        }
        let back = |pairs: &[(&str, &str)]| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(asked.get("state").map(|state| ("state", state)));
            query.extend_pairs(pairs);
            format!("{}?{}", of("redirect_uri"), query.finish())
        };
        let scopes = match self.consents.answers.pop_front() {
            Some(Answer::Denies) => return Ok(back(&[("error", "access_denied")])),
            Some(Answer::Grants(scopes)) => wanted.intersection(&scopes).cloned().collect(),
            None => wanted,
        };
        let hinted = Some(of("login_hint").to_owned()).filter(|hint| self.mailboxes.contains_key(hint));
        let chosen =
            self.consents.chosen.clone().or(hinted).or_else(|| self.mailboxes.keys().next().cloned());
        let Some(address) = chosen else {
            return Err(refusal("invalid_request", "The simulated Google has no mailbox to choose."));
        };
        let code = self.consents.token("code");
        let granted = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
        let waiting = Code {
            address,
            expires_at: now + CODE_LIFETIME,
            redirect_uri: of("redirect_uri").to_owned(),
            challenge: asked.get("code_challenge").cloned(),
            scopes,
            lasting: of("access_type") == "offline",
        };
        self.consents.codes.insert(code.clone(), waiting);
        Ok(back(&[("code", &code), ("scope", &granted), ("authuser", "0"), ("prompt", "consent")]))
    }

    fn tokens(
        &mut self,
        form: &BTreeMap<String, String>,
        basic: Option<(String, String)>,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let given = basic.unwrap_or_else(|| (of("client_id").to_owned(), of("client_secret").to_owned()));
        if given.0 != CLIENT_ID {
            return Err((StatusCode::UNAUTHORIZED, "invalid_client", "The OAuth client was not found."));
        }
        if given.1 != CLIENT_SECRET {
            return Err((StatusCode::UNAUTHORIZED, "invalid_client", "Unauthorized"));
        }
        match of("grant_type") {
            "authorization_code" => self.exchange(form, now),
            "refresh_token" => self.renew(of("refresh_token"), now),
            _ => Err(refusal("unsupported_grant_type", "Invalid grant_type")),
        }
    }

    fn exchange(&mut self, form: &BTreeMap<String, String>, now: Timestamp) -> Result<Value, Refusal> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        // A code counts once, whatever comes of it.
        let code = self.consents.codes.remove(of("code")).filter(|code| now < code.expires_at);
        let code = code.ok_or(refusal("invalid_grant", "Malformed auth code."))?;
        if code.redirect_uri != of("redirect_uri") {
            return Err(refusal("redirect_uri_mismatch", "Bad Request"));
        }
        if let Some(challenge) = &code.challenge {
            let Some(verifier) = form.get("code_verifier") else {
                return Err(refusal("invalid_grant", "Missing code verifier."));
            };
            let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
            if URL_SAFE_NO_PAD.encode(hash) != *challenge {
                return Err(refusal("invalid_grant", "Invalid code verifier."));
            }
        }
        let access = self.consents.token("access");
        let refresh = code.lasting.then(|| self.consents.token("refresh"));
        let mut answer = granted(&access, &code.scopes);
        if let Some(refresh) = &refresh {
            answer["refresh_token"] = json!(refresh);
        }
        self.consents.grants.push(Grant {
            address: code.address,
            scopes: code.scopes,
            refresh,
            access: [(access, now + ACCESS_LIFETIME)].into(),
        });
        Ok(answer)
    }

    fn renew(&mut self, refresh: &str, now: Timestamp) -> Result<Value, Refusal> {
        let access = self.consents.token("access");
        let known = self.consents.grants.iter_mut().find(|grant| grant.refresh.as_deref() == Some(refresh));
        let grant = known.ok_or(refusal("invalid_grant", "Token has been expired or revoked."))?;
        let answer = granted(&access, &grant.scopes);
        grant.access.retain(|_, end| now < *end);
        grant.access.insert(access, now + ACCESS_LIFETIME);
        Ok(answer)
    }

    fn revoke(&mut self, token: &str) -> Result<Value, Refusal> {
        let before = self.consents.grants.len();
        self.consents
            .grants
            .retain(|grant| grant.refresh.as_deref() != Some(token) && !grant.access.contains_key(token));
        if self.consents.grants.len() == before {
            return Err(refusal("invalid_token", "Token expired or revoked"));
        }
        Ok(json!({}))
    }
}

fn granted(access: &str, scopes: &BTreeSet<String>) -> Value {
    json!({
        "access_token": access, "expires_in": ACCESS_LIFETIME.as_secs(), "token_type": "Bearer",
        "scope": scopes.iter().cloned().collect::<Vec<_>>().join(" "),
    })
}

pub(super) fn router() -> Router<Google> {
    Router::new()
        .route("/o/oauth2/v2/auth", get(consent))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/oauth2/v3/certs", get(certs))
}

async fn consent(
    State(google): State<Google>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response<Body> {
    let now = google.clock.now();
    let answer = google.world().consent(&asked, now);
    match answer {
        Ok(location) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Err((status, error, description)) => {
            json_response(status, &json!({ "error": error, "error_description": description }))
        }
    }
}

fn form_of(body: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// The client's name and secret where they stand in the header (RFC 6749, 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| {
        form_urlencoded::parse(format!("v={text}").as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

async fn token(State(google): State<Google>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    answered(&google, "/token", &body, |world, now| world.tokens(&form_of(&body), basic(&headers), now))
}

async fn revoke(
    State(google): State<Google>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response<Body> {
    answered(&google, "/revoke", &body, |world, _| {
        let form = form_of(&body);
        let token = form.get("token").or_else(|| query.get("token"));
        world.revoke(token.map(String::as_str).unwrap_or_default())
    })
}

fn answered(
    google: &Google,
    path: &str,
    body: &Bytes,
    answer: impl FnOnce(&mut World, Timestamp) -> Result<Value, Refusal>,
) -> Response<Body> {
    let now = google.clock.now();
    let mut world = google.world();
    let (status, answer) = match world.consents.failures.pop_front() {
        Some(status) => (status, json!({ "error": "internal_failure" })),
        None => match answer(&mut world, now) {
            Ok(answer) => (StatusCode::OK, answer),
            Err((status, error, description)) => {
                (status, json!({ "error": error, "error_description": description }))
            }
        },
    };
    world.hear(Heard {
        at: now,
        mailbox: None,
        purpose: if path == "/revoke" { Use::MailboxRelease } else { Use::MailboxAccess },
        method: "POST".to_owned(),
        path: path.to_owned(),
        body: body.clone(),
        status: status.as_u16(),
    });
    json_response(status, &answer)
}

async fn certs(State(google): State<Google>) -> Response<Body> {
    let mut response = json_response(StatusCode::OK, &google.signer.published());
    let kept = HeaderValue::from_static("public, max-age=22311, must-revalidate, no-transform");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}
