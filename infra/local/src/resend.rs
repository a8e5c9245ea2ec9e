//! A small simulated Resend: takes mail under an API key, keeps its idempotency keys for a day, and remembers every mail
//! and every byte that reached it. Nothing is delivered anywhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::Use;
use storeward_core::time::{Clock, DAY, Timestamp};

use crate::egress::Reached;

/// The API key that is accepted: visibly no real one.
pub const KEY: &str = "re_test_storeward_local";

/// Where it is served below the local stack's address.
pub const PATH: &str = "/resend";

/// The most receivers of one mail, and the longest idempotency key (Resend, "Send email").
const MOST_RECEIVERS: usize = 50;
const LONGEST_KEY: usize = 256;

/// Requests a second that a team may make (Resend, "Rate limit"). Told in every answer; only enforced when asked to.
const RATE: u64 = 2;

/// How many mails and requests are remembered; the oldest go first.
const REMEMBERED: usize = 1_000;

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// When.
    pub at: Timestamp,
    /// Resend's id of it.
    pub id: String,
    /// Its idempotency key, if it had one.
    pub key: Option<String>,
    /// The sender.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is one too many: 429, try again after a second.
    TooMany,
    /// It fails, and nothing was sent.
    Fails,
    /// The mail is sent, and the answer fails.
    SentAndFails,
}

struct Known {
    at: Timestamp,
    payload: Value,
    id: String,
}

#[derive(Default)]
struct World {
    mails: VecDeque<Mail>,
    /// Each with its idempotency key.
    requests: VecDeque<(String, Bytes)>,
    keys: BTreeMap<String, Known>,
    busy: BTreeSet<String>,
    troubles: VecDeque<Trouble>,
    sent: u64,
}

/// The simulated Resend. Clones share it.
#[derive(Clone)]
pub struct Resend {
    clock: Arc<dyn Clock>,
    world: Arc<Mutex<World>>,
}

impl fmt::Debug for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resend").finish_non_exhaustive()
    }
}

/// An answer before it is a response.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Value,
}

impl Answer {
    fn refused(status: StatusCode, name: &str, message: &str) -> Self {
        let body = json!({ "statusCode": status.as_u16(), "name": name, "message": message });
        Self { status, retry_after: None, body }
    }

    fn taken(id: &str) -> Self {
        Self { status: StatusCode::OK, retry_after: None, body: json!({ "id": id }) }
    }
}

impl Resend {
    /// A Resend that has taken no mail yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, world: Arc::default() }
    }

    /// Every mail that was taken, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.world().mails.iter().cloned().collect()
    }

    /// The body of every request that arrived, taken or not, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Bytes> {
        self.world().requests.iter().map(|(_, body)| body.clone()).collect()
    }

    /// The same as the egress recorder tells it: with the idempotency key.
    #[must_use]
    pub fn reached(&self) -> Vec<Reached> {
        let reached = |(key, body): &(String, Bytes)| Reached {
            processor: Processor::Resend,
            purpose: if key.starts_with("storeward-processors-") { Use::ServiceMail } else { Use::CaseMail },
            bytes: [key.as_bytes(), b"\n", body].concat(),
        };
        self.world().requests.iter().map(reached).collect()
    }

    /// Lets the next request meet trouble; asked for several times, the next several.
    pub fn trouble_next(&self, trouble: Trouble) {
        self.world().troubles.push_back(trouble);
    }

    /// As if a request under this key were still being worked on.
    pub fn occupy(&self, key: &str) {
        self.world().busy.insert(key.to_owned());
    }

    /// That request is over.
    pub fn free(&self, key: &str) {
        self.world().busy.remove(key);
    }

    /// The API, at `/emails`.
    pub fn router(&self) -> Router {
        Router::new().route("/emails", post(serve)).with_state(self.clone())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, authorization: Option<&str>, key: Option<&str>, body: &Bytes) -> Answer {
        let now = self.clock.now();
        let mut world = self.world();
        world.requests.push_back((key.unwrap_or_default().to_owned(), body.clone()));
        if world.requests.len() > REMEMBERED {
            world.requests.pop_front();
        }
        let Some(given) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
            let message = "Missing API Key in the authorization header";
            return Answer::refused(StatusCode::UNAUTHORIZED, "missing_api_key", message);
        };
        if given != KEY {
            return Answer::refused(StatusCode::FORBIDDEN, "invalid_api_key", "API key is invalid");
        }
        let trouble = world.troubles.pop_front();
        match trouble {
            Some(Trouble::TooMany) => {
                let message = "Too many requests. Please limit the number of requests per second.";
                let refused = Answer::refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message);
                return Answer { retry_after: Some(Duration::from_secs(1)), ..refused };
            }
            Some(Trouble::Fails) => {
                let message = "An unexpected error occurred";
                return Answer::refused(StatusCode::INTERNAL_SERVER_ERROR, "application_error", message);
            }
            Some(Trouble::SentAndFails) | None => {}
        }
        if key.is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
            let message = "The key must be between 1-256 chars";
            return Answer::refused(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message);
        }
        let Some(payload) = serde_json::from_slice(body).ok().filter(Value::is_object) else {
            return Answer::refused(
                StatusCode::BAD_REQUEST,
                "validation_error",
                "The body is not a JSON object",
            );
        };
        if let Some(key) = key {
            if world.busy.contains(key) {
                let message = "Same idempotency key used while original request is still in progress";
                return Answer::refused(StatusCode::CONFLICT, "concurrent_idempotent_requests", message);
            }
            world.keys.retain(|_, known| now.since(known.at) < DAY);
            if let Some(known) = world.keys.get(key) {
                if known.payload == payload {
                    return Answer::taken(&known.id);
                }
                let message = "Same idempotency key used with a different request payload";
                return Answer::refused(StatusCode::CONFLICT, "invalid_idempotent_request", message);
            }
        }
        let mut mail = match read(&payload) {
            Ok(mail) => mail,
            Err((name, message)) => return Answer::refused(StatusCode::UNPROCESSABLE_ENTITY, name, &message),
        };
        world.sent += 1;
        mail.id = format!("00000000-0000-4000-8000-{:012x}", world.sent);
        mail.at = now;
        mail.key = key.map(str::to_owned);
        if let Some(key) = key {
            world.keys.insert(key.to_owned(), Known { at: now, payload, id: mail.id.clone() });
        }
        let answer = Answer::taken(&mail.id);
        world.mails.push_back(mail);
        if world.mails.len() > REMEMBERED {
            world.mails.pop_front();
        }
        if trouble == Some(Trouble::SentAndFails) {
            return Answer::refused(StatusCode::BAD_GATEWAY, "application_error", "Bad gateway");
        }
        answer
    }
}

async fn serve(State(resend): State<Resend>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = resend.answer(text("authorization"), text("idempotency-key"), &body);
    let mut response = Response::new(Body::from(answer.body.to_string()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let remaining = if answer.retry_after.is_some() { 0 } else { RATE - 1 };
    headers.insert("ratelimit-limit", HeaderValue::from(RATE));
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(1));
    if let Some(after) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    response
}

/// Reads a mail as Resend does; its error's name and message where it does not take it.
fn read(payload: &Value) -> Result<Mail, (&'static str, String)> {
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    for name in ["from", "to", "subject"] {
        if payload[name].is_null() {
            return Err(("missing_required_field", format!("Missing `{name}` field.")));
        }
    }
    let from = text("from");
    let address = from.rsplit_once('<').map_or(from.as_str(), |(_, address)| address.trim_end_matches('>'));
    if !is_address(address) {
        let message = "Invalid `from` field. The email address needs to follow the `email@example.com` or \
                       `Name <email@example.com>` format.";
        return Err(("invalid_from_address", message.to_owned()));
    }
    let to: Vec<String> = match &payload["to"] {
        Value::String(to) => vec![to.clone()],
        Value::Array(to) => to.iter().filter_map(|to| to.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    if to.is_empty() || to.len() > MOST_RECEIVERS || !to.iter().all(|to| is_address(to)) {
        let message = "Invalid `to` field. The email address needs to follow the `email@example.com` format.";
        return Err(("validation_error", message.to_owned()));
    }
    let (subject, plain, html) = (text("subject"), text("text"), text("html"));
    if subject.chars().any(char::is_control) {
        return Err(("validation_error", "The `\\n` is not allowed in the `subject` field.".to_owned()));
    }
    if plain.is_empty() && html.is_empty() {
        return Err(("missing_required_field", "Missing `html` or `text` field.".to_owned()));
    }
    let (at, id, key) = (Timestamp::default(), String::new(), None);
    Ok(Mail { at, id, key, from, to, subject, text: plain, html })
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && domain.contains('.') && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use storeward_core::time::{HOUR, ManualClock};

    use super::*;

    fn resend() -> (ManualClock, Resend) {
        let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
        (clock.clone(), Resend::new(Arc::new(clock)))
    }

    fn mail() -> Value {
        json!({
            "from": "Storeward <alerts@example.com>", "to": ["merchant@example.com"], "subject": "One",
            "text": "one", "html": "<p>one</p>",
        })
    }

    fn ask(resend: &Resend, key: Option<&str>, mail: &Value) -> (u16, Value) {
        let answer = resend.answer(Some(&format!("Bearer {KEY}")), key, &Bytes::from(mail.to_string()));
        (answer.status.as_u16(), answer.body)
    }

    #[test]
    fn given_a_key_when_used_again_then_the_mail_is_sent_once_for_a_day() {
        let (clock, resend) = resend();
        let (status, first) = ask(&resend, Some("k"), &mail());
        assert_eq!((status, ask(&resend, Some("k"), &mail())), (200, (200, first)));
        assert_eq!(resend.mails().len(), 1);
        let mut other = mail();
        other["text"] = json!("two");
        let (status, refused) = ask(&resend, Some("k"), &other);
        assert_eq!((status, refused["name"].as_str()), (409, Some("invalid_idempotent_request")));
        resend.occupy("j");
        let (status, refused) = ask(&resend, Some("j"), &mail());
        assert_eq!((status, refused["name"].as_str()), (409, Some("concurrent_idempotent_requests")));
        resend.free("j");
        assert_eq!(ask(&resend, Some("j"), &mail()).0, 200);
        clock.advance(HOUR * 24);
        assert_eq!(ask(&resend, Some("k"), &other).0, 200);
        assert_eq!(resend.mails().len(), 3);
    }

    #[test]
    fn given_what_resend_does_not_take_when_sent_then_it_says_why_and_keeps_no_mail() {
        let (_, resend) = resend();
        for (field, value, name) in [
            ("from", json!(null), "missing_required_field"),
            ("from", json!("Storeward"), "invalid_from_address"),
            ("to", json!([]), "validation_error"),
            ("to", json!("nobody"), "validation_error"),
            ("to", json!(vec!["a@example.com"; 51]), "validation_error"),
            ("subject", json!("a\nb"), "validation_error"),
        ] {
            let mut wrong = mail();
            wrong[field] = value;
            let (status, answer) = ask(&resend, None, &wrong);
            assert_eq!((status, answer["name"].as_str()), (422, Some(name)), "{wrong}");
        }
        let long = "k".repeat(257);
        assert_eq!(ask(&resend, Some(&long), &mail()).1["name"], "invalid_idempotency_key");
        let body = Bytes::from(mail().to_string());
        assert_eq!(resend.answer(None, None, &body).body["name"], "missing_api_key");
        assert_eq!(resend.answer(Some("Bearer re_test_other"), None, &body).status, StatusCode::FORBIDDEN);
        assert!(resend.mails().is_empty());
    }

    #[test]
    fn given_trouble_when_asked_again_then_a_mail_that_was_sent_is_known() {
        let (_, resend) = resend();
        for trouble in [Trouble::TooMany, Trouble::Fails, Trouble::SentAndFails] {
            resend.trouble_next(trouble);
        }
        let statuses = [(); 4].map(|()| ask(&resend, Some("k"), &mail()).0);
        assert_eq!(statuses, [429, 500, 502, 200]);
        assert_eq!((resend.mails().len(), resend.requests().len()), (1, 4));
    }
}
