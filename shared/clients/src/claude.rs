//! Claude's Messages API: one question, one answer that follows a schema. What is asked, and what an answer means, is
//! `core::desk`'s; what it costs is told here. There is no repetition in here: the queue repeats.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::{Outgoing, Register, Stance, Use};
use storeward_core::personal::Personal;
use storeward_core::time::Clock;

use crate::error::{ClientError, code};
use crate::http::{self, Call, Outside, object};

/// The version of the API whose rules these requests keep (Claude API, "Versions").
const VERSION: &str = "2026-10-21";

/// How long to wait after "too many" where the answer does not say.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest id of a request that is taken over.
const LONGEST_ID: usize = 64;

/// Up to so many tokens in a request Haiku costs what [`Model::prices`] says for short ones (Claude API, "Pricing",
/// read in November 2026).
const LONG_PROMPT: u64 = 100_000;

/// A model. Each takes a million tokens in and gives at most 128,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// Small and quick: what a mail is about.
    Haiku,
    /// For what is written to people: drafts.
    Sonnet,
}

/// What one token costs, in nano-dollars: a dollar for a million tokens is 1,000 of them.
struct Prices {
    input: u64,
    output: u64,
    write_5m: u64,
    write_1h: u64,
    read: u64,
}

impl Model {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Haiku => "claude-haiku-5-5",
            Self::Sonnet => "claude-sonnet-5-5",
        }
    }

    /// The list prices since 7 October 2026 (Claude API, "Pricing"; `docs/decisions/0029-claude.md`). A write into the cache
    /// costs 1.25 times the input for five minutes and twice the input for an hour; a read from it a tenth with Haiku
    /// and a twentieth with Sonnet. Haiku costs five times as much, in and out, when the prompt is a long one.
    const fn prices(self, prompt: u64) -> Prices {
        match self {
            Self::Haiku if prompt > LONG_PROMPT => {
                Prices { input: 500, output: 2_500, write_5m: 625, write_1h: 1_000, read: 50 }
            }
            Self::Haiku => Prices { input: 100, output: 500, write_5m: 125, write_1h: 200, read: 10 },
            Self::Sonnet => {
                Prices { input: 2_000, output: 10_000, write_5m: 2_500, write_1h: 4_000, read: 100 }
            }
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How hard the model thinks before it answers. Both models think unless told not to, and what they think counts as
/// output: it is paid for, and it counts towards `max_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effort {
    /// For what is told at a glance.
    Low,
    /// In between.
    Medium,
    /// For what has to be weighed.
    High,
}

impl Effort {
    const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How long Claude remembers what stands up to here. Below 512 tokens it remembers nothing, and does not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheFor {
    /// Five minutes from its last use.
    FiveMinutes,
    /// An hour from its last use.
    OneHour,
}

impl CacheFor {
    const fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }
}

/// A part of what the model is told before it is asked.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its text.
    pub text: Outgoing<String>,
    /// Whether everything up to its end is to be remembered: what is the same for many questions comes first. One hour
    /// comes before five minutes, and there are at most four.
    pub cache: Option<CacheFor>,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What for.
    pub purpose: Use,
    /// Who is asked.
    pub model: Model,
    /// How hard it thinks.
    pub effort: Effort,
    /// What it is told before.
    pub system: Vec<Part>,
    /// What it is asked.
    pub message: Outgoing<String>,
    /// What the answer looks like, as a JSON schema: every object says `additionalProperties: false`, and there are no
    /// bounds of numbers, texts and lists in it. It goes out like the rest of the question.
    pub schema: Outgoing<Value>,
    /// The most tokens of thought and answer together.
    pub max_tokens: u32,
    /// How long it may take.
    pub timeout: Duration,
}

impl Ask {
    fn body(&self) -> Outgoing<Value> {
        let text = |text: &Outgoing<String>| text.clone().map(Value::String);
        let own = |value: Value| Outgoing::own(value);
        let system = self.system.iter().map(|part| {
            let mut fields = vec![("type", own(json!("text"))), ("text", text(&part.text))];
            fields
                .extend(part.cache.map(|cache| {
                    ("cache_control", own(json!({ "type": "ephemeral", "ttl": cache.name() })))
                }));
            object(fields)
        });
        let message = object([("role", own(json!("user"))), ("content", text(&self.message))]);
        let format = object([("type", own(json!("json_schema"))), ("schema", self.schema.clone())]);
        let output = object([("effort", own(json!(self.effort.name()))), ("format", format)]);
        object([
            ("model", own(json!(self.model.name()))),
            ("max_tokens", own(json!(self.max_tokens))),
            ("system", Outgoing::all(system).map(Value::Array)),
            ("messages", Outgoing::all([message]).map(Value::Array)),
            ("output_config", output),
        ])
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// It was cut off: the answer follows no schema.
    MaxTokens,
    /// It would not answer: what it said follows no schema.
    Refusal,
    /// Anything else, which is none of what is asked for here.
    Other,
}

/// What an answer took, in tokens. Each token of a request is in one of the four: `input` are those that the cache had no
/// part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read anew.
    pub input: u64,
    /// Thought and written.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written into the cache for five minutes.
    pub cache_write_5m: u64,
    /// Written into the cache for an hour.
    pub cache_write_1h: u64,
}

impl Usage {
    /// Written into the cache.
    #[must_use]
    pub const fn cache_write(&self) -> u64 {
        self.cache_write_5m + self.cache_write_1h
    }

    /// The whole request.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write()
    }
}

/// What one answer costs, in micro-dollars, rounded up. For one answer at a time: what a token costs can depend on how
/// many came with it.
#[must_use]
pub const fn cost(usage: &Usage, model: Model) -> u64 {
    let prices = model.prices(usage.prompt());
    let nano_dollars = usage.input * prices.input
        + usage.output * prices.output
        + usage.cache_read * prices.read
        + usage.cache_write_5m * prices.write_5m
        + usage.cache_write_1h * prices.write_1h;
    nano_dollars.div_ceil(1_000)
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// All of its text. It is made of somebody's mail.
    pub text: Personal<String>,
    /// Why it ends there.
    pub stop: StopReason,
    /// What it took. Refusals and cut-offs are paid for like the rest.
    pub usage: Usage,
    /// What Anthropic calls the request, for asking them about it.
    pub request_id: Option<String>,
}

impl Answered {
    /// The answer, where there is one: it came to its end and looks as it was asked for.
    #[must_use]
    pub fn value<T: DeserializeOwned>(&self) -> Option<T> {
        (self.stop == StopReason::EndTurn).then(|| serde_json::from_str(self.text.expose()).ok()).flatten()
    }
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    usage: Counts,
}

/// A block of an answer. Those that are not text, such as thoughts, come in any number and order.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Counts {
    input_tokens: u32,
    output_tokens: u32,
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_creation: Option<Written>,
}

#[derive(Deserialize)]
struct Written {
    ephemeral_5m_input_tokens: u32,
}

impl Message {
    fn answered(self, request_id: Option<String>) -> Answered {
        let text: String =
            self.content.into_iter().filter(|block| block.kind == "text").map(|block| block.text).collect();
        let stop = match self.stop_reason.as_deref() {
            Some("end_turn") => StopReason::EndTurn,
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            Some("refusal") => StopReason::Refusal,
            _ => StopReason::Other,
        };
        let counts = self.usage;
        let written = counts.cache_creation_input_tokens.unwrap_or_default();
        let for_minutes =
            counts.cache_creation.map_or(0, |parts| parts.ephemeral_5m_input_tokens.min(written));
        let usage = Usage {
            input: counts.input_tokens.into(),
            output: counts.output_tokens.into(),
            cache_read: counts.cache_read_input_tokens.unwrap_or_default().into(),
            cache_write_5m: for_minutes.into(),
            // What is not told apart counts as the dearer.
            cache_write_1h: (written - for_minutes).into(),
        };
        Answered { text: Personal::new(text), stop, usage, request_id }
    }
}

#[derive(Default, Deserialize)]
struct Failure {
    error: Fault,
}

#[derive(Default, Deserialize)]
struct Fault {
    #[serde(rename = "type")]
    kind: String,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    error_code: Option<String>,
}

/// The client, for one merchant or for nobody in particular.
#[derive(Clone, Debug)]
pub struct Claude {
    outside: Outside,
    endpoint: String,
    key: Personal<String>,
}

impl Claude {
    /// A client with an API key; the endpoint is `https://api.anthropic.com` but in tests. What may be sent is in the
    /// register; the clock says since when.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        endpoint: &str,
        key: String,
        register: Register,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let outside = Outside::new(Processor::Anthropic, register, clock)?;
        Ok(Self { outside, endpoint: endpoint.to_owned(), key: Personal::new(key) })
    }

    /// The same client for a merchant, who was told of changes and may object.
    #[must_use]
    pub fn of(&self, stance: Stance) -> Self {
        Self { outside: self.outside.of(stance), ..self.clone() }
    }

    /// Asks once. A refusal and a cut-off are answers; see [`Answered::stop`].
    ///
    /// # Errors
    /// `NotPermitted` by the gate. `Throttled` where the other side says how long to wait, and when it is too much (429).
    /// `Unavailable` without an answer, when it takes too long, and with Anthropic's code for what may pass, such as
    /// `overloaded_error`. `Unauthorized` for a key it does not know or does not let do this. `Rejected` with Anthropic's
    /// code for the rest: a question that it does not take, an unknown model, an unpaid bill, a spent budget
    /// (`enforced_spend_limit_reached`).
    pub async fn ask(&self, ask: &Ask) -> Result<Answered, ClientError> {
        let call = Call {
            purpose: ask.purpose,
            url: Outgoing::own(format!("{}/v1/messages", self.endpoint)),
            headers: vec![
                ("x-api-key", Outgoing::own(self.key.expose().clone())),
                ("anthropic-version", Outgoing::text(VERSION)),
            ],
            body: ask.body(),
            timeout: Some(ask.timeout),
        };
        let response = self.outside.post(call).await?;
        let request_id = header(&response, "request-id").filter(|id| is_id(id)).map(str::to_owned);
        if response.status().is_success() {
            let message: Message = response.json().await.map_err(|error| http::transport_error(&error))?;
            return Ok(message.answered(request_id));
        }
        let status = response.status().as_u16();
        let told = match header(&response, "x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let wait = milliseconds(&response).or_else(|| http::retry_after(&response));
        let failure: Failure = response.json().await.unwrap_or_default();
        Err(failed(status, told, wait, &failure.error))
    }
}

/// What a failure means: what the other side says of repeating counts before what its status says.
fn failed(status: u16, told: Option<bool>, wait: Option<Duration>, fault: &Fault) -> ClientError {
    let cause = fault.details.as_ref().and_then(|details| details.error_code.as_deref());
    // A spent budget comes as "too many", and lasts until the end of the month.
    let is_spent = cause.is_some_and(|cause| cause.ends_with("spend_limit_reached"));
    let may_pass = !is_spent && told.unwrap_or(matches!(status, 408 | 409 | 429 | 500..=599));
    let code =
        cause.and_then(code).or_else(|| code(&fault.kind)).unwrap_or_else(|| format!("status {status}"));
    match (may_pass, wait, status) {
        (true, Some(wait), _) => ClientError::Throttled(wait),
        (true, None, 429) => ClientError::Throttled(PAUSE),
        (true, None, _) => ClientError::Unavailable(code),
        (false, _, 401 | 403) => ClientError::Unauthorized,
        (false, ..) => ClientError::Rejected(code),
    }
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn milliseconds(response: &reqwest::Response) -> Option<Duration> {
    let milliseconds: f64 = header(response, "retry-after-ms")?.trim().parse().ok()?;
    Duration::try_from_secs_f64(milliseconds / 1_000.0).ok()
}

/// Whether it looks like an id, so that it can stand in a log.
fn is_id(text: &str) -> bool {
    text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests;
