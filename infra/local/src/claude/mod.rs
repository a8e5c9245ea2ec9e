//! A small simulated Claude: the Messages API under an API key, which refuses what the real one refuses, remembers prompts
//! as its cache does, and answers in the shape it is asked for without a network or a model. It remembers every byte that
//! reached it. Messages alone: no tools, no streaming, no batches.

mod answer;
mod request;
mod schema;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::Use;
use storeward_core::time::{Clock, Timestamp};

use crate::egress::Reached;

use self::request::{Problem, Request, tokens};

/// The API key that is accepted: visibly no real one.
pub const KEY: &str = "sk-ant-test-storeward-local";

/// Where it is served below the local stack's address.
pub const PATH: &str = "/anthropic";

/// The version of the API that is simulated.
pub const VERSION: &str = "2026-10-21";

/// The largest request in bytes (Claude API, "Errors": `request_too_large`).
const LARGEST: usize = 32 * 1024 * 1024;

/// Shorter prompts are not cached (Claude API, "Prompt caching", for both models).
const SHORTEST_CACHED: u64 = 512;

/// What thinking takes, where it is not told to think little.
const THOUGHT: u64 = 24;

/// How many requests are remembered; the oldest go first.
const REMEMBERED: usize = 1_000;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Everybody asks at once: 529. Says how long to wait, or does not.
    Overloaded {
        /// How long.
        retry_after: Option<Duration>,
    },
    /// It is one too many: 429.
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The month's budget is spent: 429 as well, and until the month is over.
    SpendLimit,
    /// Nobody paid: 402.
    Unpaid,
    /// It fails: 500.
    Fails,
    /// It is not taken: 400.
    BadRequest,
    /// The model will not answer.
    Refuses,
    /// The answer is cut off at `max_tokens`.
    CutOff,
    /// The answer ends where it should not, and says that it is whole.
    InvalidJson,
    /// There is no answer, for as long as anybody waits.
    Hangs,
}

impl Trouble {
    /// By the name that [`Claude::router`] knows it by.
    fn named(name: &str, retry_after: Option<Duration>) -> Option<Self> {
        Some(match name {
            "overloaded" => Self::Overloaded { retry_after },
            "too_many" => Self::TooMany { retry_after: retry_after.unwrap_or_default() },
            "spend_limit" => Self::SpendLimit,
            "unpaid" => Self::Unpaid,
            "fails" => Self::Fails,
            "bad_request" => Self::BadRequest,
            "refuses" => Self::Refuses,
            "cut_off" => Self::CutOff,
            "invalid_json" => Self::InvalidJson,
            "hangs" => Self::Hangs,
            _ => return None,
        })
    }

    /// The failure it is, if it is one: its status, type and message.
    fn failure(self) -> Option<(u16, &'static str, &'static str)> {
        Some(match self {
            Self::Overloaded { .. } => (529, "overloaded_error", "Overloaded"),
            Self::TooMany { .. } => {
                (429, "rate_limit_error", "This request would exceed the rate limit of your organization")
            }
            Self::SpendLimit => (429, "rate_limit_error", "You have reached your API usage limits"),
            Self::Unpaid => (402, "billing_error", "Your credit balance is too low"),
            Self::Fails => (500, "api_error", "Internal server error"),
            Self::BadRequest => (400, "invalid_request_error", "messages.0: unexpected value"),
            Self::Refuses | Self::CutOff | Self::InvalidJson | Self::Hangs => return None,
        })
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => retry_after,
            Self::TooMany { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}

#[derive(Default)]
struct World {
    requests: VecDeque<Bytes>,
    troubles: VecDeque<Trouble>,
    answers: VecDeque<String>,
    /// The prompts that are remembered, by what they hash to, and until when.
    cache: BTreeMap<u64, Timestamp>,
    asked: u64,
}

/// The simulated Claude. Clones share it.
#[derive(Clone)]
pub struct Claude {
    clock: Arc<dyn Clock>,
    world: Arc<Mutex<World>>,
}

impl fmt::Debug for Claude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claude").finish_non_exhaustive()
    }
}

/// An answer before it is a response.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

/// What a request took of which kind, in tokens.
#[derive(Default)]
struct Counted {
    input: u64,
    read: u64,
    written_5m: u64,
    written_1h: u64,
}

/// What the next request meets, as it is asked for over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    trouble: Option<String>,
    retry_after_ms: Option<u64>,
    answer: Option<Value>,
}

impl Claude {
    /// A Claude that nobody has asked anything yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, world: Arc::default() }
    }

    /// The body of every request that arrived, answered or not, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Bytes> {
        self.world().requests.iter().cloned().collect()
    }

    /// The same as the egress recorder tells it.
    #[must_use]
    pub fn reached(&self) -> Vec<Reached> {
        let reached = |body: &Bytes| Reached {
            processor: Processor::Anthropic,
            purpose: Use::Drafting,
            bytes: body.to_vec(),
        };
        self.world().requests.iter().map(reached).collect()
    }

    /// Lets the next request meet trouble; asked for several times, the next several.
    pub fn trouble_next(&self, trouble: Trouble) {
        self.world().troubles.push_back(trouble);
    }

    /// Answers the next request that is answered with this: a text as it stands, anything else as JSON. Asked for several
    /// times, the next several.
    pub fn answer_next(&self, answer: &Value) {
        let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        self.world().answers.push_back(text);
    }

    /// The API, at `/v1/messages`; and at `/_local/next`, under the same key, what the next request meets:
    /// `{"trouble":"too_many","retry_after_ms":500}` or `{"answer":{…}}`, for tests that are other programs.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/messages", post(serve))
            .route("/_local/next", post(prepare))
            .with_state(self.clone())
    }

    /// Does what `/_local/next` was asked for.
    fn prepare(&self, body: &Bytes) -> Result<(), Problem> {
        let unknown = || Problem::new(400, "invalid_request_error", "there is no such trouble");
        let next: Next = serde_json::from_slice(body).map_err(|_| unknown())?;
        if let Some(answer) = &next.answer {
            self.answer_next(answer);
        }
        if let Some(name) = &next.trouble {
            let retry_after = next.retry_after_ms.map(Duration::from_millis);
            self.trouble_next(Trouble::named(name, retry_after).ok_or_else(unknown)?);
        }
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request, if there is one.
    fn answer(&self, headers: &HeaderMap, body: &Bytes) -> Option<Answer> {
        let now = self.clock.now();
        let mut world = self.world();
        let request_id = world.next_id();
        world.requests.push_back(body.clone());
        if world.requests.len() > REMEMBERED {
            world.requests.pop_front();
        }
        let told = authorized(headers).map_err(Said::Problem).and_then(|()| {
            let trouble = world.troubles.pop_front();
            if let Some(trouble) =
                trouble.filter(|trouble| trouble.failure().is_some() || *trouble == Trouble::Hangs)
            {
                return Err(Said::Trouble(trouble));
            }
            let request = Request::read(headers, body).map_err(Said::Problem)?;
            Ok(world.message(&request, trouble, now))
        });
        match told {
            Ok(body) => Some(Answer { status: 200, headers: vec![("request-id", request_id)], body }),
            Err(Said::Problem(problem)) => Some(problem.answer(&request_id)),
            Err(Said::Trouble(trouble)) => trouble.answer(&request_id),
        }
    }
}

/// Why there is no message.
enum Said {
    Problem(Problem),
    Trouble(Trouble),
}

fn failure(request_id: &str, status: u16, kind: &str, message: &str) -> Answer {
    let error = json!({ "type": kind, "message": message });
    let body = json!({ "type": "error", "error": error, "request_id": request_id });
    Answer { status, headers: vec![("request-id", request_id.to_owned())], body }
}

impl Problem {
    fn answer(&self, request_id: &str) -> Answer {
        failure(request_id, self.status, self.kind, &self.message)
    }
}

impl Trouble {
    fn answer(self, request_id: &str) -> Option<Answer> {
        let (status, kind, message) = self.failure()?;
        let mut answer = failure(request_id, status, kind, message);
        if self == Self::SpendLimit {
            answer.body["error"]["details"] = json!({ "error_code": "enforced_spend_limit_reached" });
        } else if status == 429 || status >= 500 {
            answer.headers.push(("x-should-retry", "true".to_owned()));
        }
        if let Some(wait) = self.retry_after() {
            answer.headers.push(("retry-after", wait.as_millis().div_ceil(1_000).to_string()));
            answer.headers.push(("retry-after-ms", wait.as_millis().to_string()));
        }
        Some(answer)
    }
}

impl World {
    /// The id of a request that arrived.
    fn next_id(&mut self) -> String {
        self.asked += 1;
        format!("req_{:024}", self.asked)
    }

    /// The message that answers a request.
    fn message(&mut self, request: &Request, trouble: Option<Trouble>, now: Timestamp) -> Value {
        let counted = self.count(request, now);
        let thought = if request.thinks { THOUGHT } else { 0 };
        let room = request.max_tokens.saturating_sub(thought);
        let mut text = self.answers.pop_front().unwrap_or_else(|| answer::to(request));
        let half = tokens(&text) / 2;
        let mut stop_reason = "end_turn";
        match trouble {
            Some(Trouble::Refuses) => {
                text.clear();
                stop_reason = "refusal";
            }
            Some(Trouble::CutOff) => {
                cut(&mut text, half);
                stop_reason = "max_tokens";
            }
            Some(Trouble::InvalidJson) => cut(&mut text, half),
            _ if tokens(&text) > room => {
                cut(&mut text, room);
                stop_reason = "max_tokens";
            }
            _ => {}
        }
        let written = tokens(&text).max(1);
        let mut content = Vec::new();
        if request.thinks {
            // What it thought is not shown unless it is asked for; the block is there.
            content.push(json!({ "type": "thinking", "thinking": "", "signature": "c2ltdWxhdGVk" }));
        }
        if !text.is_empty() {
            content.push(json!({ "type": "text", "text": text }));
        }
        let refusal = json!({ "type": "refusal", "category": null, "explanation": null });
        json!({
            "id": format!("msg_{:024}", self.asked),
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "stop_details": if stop_reason == "refusal" { refusal } else { Value::Null },
            "usage": {
                "input_tokens": counted.input,
                "cache_creation_input_tokens": counted.written_5m + counted.written_1h,
                "cache_read_input_tokens": counted.read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": counted.written_5m,
                    "ephemeral_1h_input_tokens": counted.written_1h,
                },
                "output_tokens": written + thought,
                "output_tokens_details": { "thinking_tokens": thought },
                "service_tier": "standard",
            },
        })
    }

    /// Counts a request, and remembers it up to each of its marks. The longest part that is remembered is read.
    fn count(&mut self, request: &Request, now: Timestamp) -> Counted {
        self.cache.retain(|_, until| now < *until);
        let mut prefix = DefaultHasher::new();
        let schema = request.schema.as_ref().map(Value::to_string).unwrap_or_default();
        (&request.model, &schema).hash(&mut prefix);
        let mut total = tokens(&schema);
        let mut marks = Vec::new();
        for block in &request.blocks {
            total += tokens(&block.text);
            (block.role, &block.text).hash(&mut prefix);
            if let Some(keep) = block.cache.filter(|_| total >= SHORTEST_CACHED) {
                marks.push((prefix.finish(), total, keep));
            }
        }
        let known = |mark: &&(u64, u64, Duration)| self.cache.contains_key(&mark.0);
        let read = marks.iter().rev().find(known).map_or(0, |(_, total, _)| *total);
        let mut counted = Counted { read, ..Counted::default() };
        let mut before = read;
        for (hash, until, keep) in marks {
            let new = until.saturating_sub(before);
            before = before.max(until);
            if keep > request::FIVE_MINUTES {
                counted.written_1h += new;
            } else {
                counted.written_5m += new;
            }
            self.cache.insert(hash, now + keep);
        }
        counted.input = total - before;
        counted
    }
}

/// Cuts a text after so many tokens.
fn cut(text: &mut String, after: u64) {
    let wanted = usize::try_from(after * request::BYTES_PER_TOKEN).unwrap_or(usize::MAX).min(text.len());
    let end = (0..=wanted).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.truncate(end);
}

/// The official libraries send the key as a bearer token, plain requests as `x-api-key`; that counts where both are.
fn authorized(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match text("x-api-key").or(bearer) {
        None => Err(Problem::new(401, "authentication_error", "x-api-key header is required")),
        Some(KEY) => Ok(()),
        Some(_) => Err(Problem::new(401, "authentication_error", "invalid x-api-key")),
    }
}

async fn serve(State(claude): State<Claude>, headers: HeaderMap, body: Body) -> Response<Body> {
    // One that is somewhat too large is read to its end: who is still sending would not hear the answer.
    let body = axum::body::to_bytes(body, 2 * LARGEST).await;
    let Some(body) = body.ok().filter(|body| body.len() <= LARGEST) else {
        let message = "Request exceeds the maximum allowed number of bytes";
        return response(failure(&claude.world().next_id(), 413, "request_too_large", message));
    };
    match claude.answer(&headers, &body) {
        Some(answer) => response(answer),
        None => std::future::pending().await,
    }
}

async fn prepare(State(claude): State<Claude>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let told = authorized(&headers).and_then(|()| claude.prepare(&body));
    response(match told {
        Ok(()) => Answer { status: 200, headers: Vec::new(), body: json!({}) },
        Err(problem) => problem.answer(&claude.world().next_id()),
    })
}

fn response(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body.to_string()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
