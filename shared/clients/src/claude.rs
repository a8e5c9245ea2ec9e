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
/// October 2026).
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

    /// The list prices of October 2026 (Claude API, "Pricing"; `docs/decisions/0029-claude.md`). A write into the cache
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

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storeward_core::data_map::Category;
    use storeward_core::egress::Categories;

    use super::*;

    fn fault(kind: &str, cause: Option<&str>) -> Fault {
        let details = cause.map(|cause| Details { error_code: Some(cause.to_owned()) });
        Fault { kind: kind.to_owned(), details }
    }

    fn answered(message: Value) -> Answered {
        serde_json::from_value::<Message>(message).unwrap().answered(None)
    }

    #[test]
    fn given_a_question_then_it_carries_what_its_parts_do_and_reads_as_the_api_takes_it() {
        let ask = Ask {
            purpose: Use::Drafting,
            model: Model::Haiku,
            effort: Effort::Low,
            system: vec![
                Part { text: Outgoing::text("Be brief."), cache: None },
                Part {
                    text: Outgoing::about(Category::MerchantAccount, "Policies.".to_owned()),
                    cache: Some(CacheFor::OneHour),
                },
            ],
            message: Outgoing::about(Category::Correspondence, "Hello?".to_owned()),
            schema: Outgoing::own(json!({ "type": "object", "additionalProperties": false })),
            max_tokens: 200,
            timeout: Duration::from_secs(1),
        };
        let body = ask.body();
        let expected = Categories::of(&[Category::MerchantAccount, Category::Correspondence]);
        assert_eq!(body.carries(), expected);
        assert_eq!(
            *body.value(),
            json!({
                "model": "claude-haiku-5-5",
                "max_tokens": 200,
                "system": [
                    { "type": "text", "text": "Be brief." },
                    {
                        "type": "text",
                        "text": "Policies.",
                        "cache_control": { "type": "ephemeral", "ttl": "1h" },
                    },
                ],
                "messages": [{ "role": "user", "content": "Hello?" }],
                "output_config": {
                    "effort": "low",
                    "format": {
                        "type": "json_schema",
                        "schema": { "type": "object", "additionalProperties": false },
                    },
                },
            })
        );
    }

    #[test]
    fn given_thoughts_and_several_texts_then_the_texts_are_the_answer() {
        let message = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
            "content": [
                { "type": "thinking", "thinking": "Hm.", "signature": "x" },
                { "type": "text", "text": "{\"a\":" },
                { "type": "something_new", "data": {} },
                { "type": "text", "text": "1}" },
            ],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {
                "input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 600,
                "cache_creation_input_tokens": 900,
                "cache_creation": { "ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 600 },
            },
        });
        let told = answered(message);
        assert_eq!(told.value::<Value>(), Some(json!({ "a": 1 })));
        let usage = Usage { input: 5, output: 7, cache_read: 600, cache_write_5m: 300, cache_write_1h: 600 };
        assert_eq!((told.usage, told.usage.cache_write(), told.usage.prompt()), (usage, 900, 1_505));
        assert_eq!(format!("{:?}", told.text), "(personal)");
    }

    #[test]
    fn given_an_answer_that_did_not_come_to_its_end_then_it_has_no_value() {
        for (reason, stop) in [
            (json!("max_tokens"), StopReason::MaxTokens),
            (json!("model_context_window_exceeded"), StopReason::MaxTokens),
            (json!("refusal"), StopReason::Refusal),
            (json!("tool_use"), StopReason::Other),
            (json!("something_new"), StopReason::Other),
            (Value::Null, StopReason::Other),
        ] {
            let told = answered(json!({
                "content": [{ "type": "text", "text": "{}" }], "stop_reason": reason,
                "usage": { "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9 },
            }));
            assert_eq!((told.stop, told.value::<Value>()), (stop, None));
            assert_eq!(told.usage.cache_write_1h, 9, "what is not told apart counts as the dearer");
        }
    }

    #[test]
    fn given_a_failure_then_it_says_whether_and_when_to_repeat_and_quotes_nothing() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let throttled = |seconds| ClientError::Throttled(Duration::from_secs(seconds));
        let rejected = |code: &str| ClientError::Rejected(code.to_owned());
        let unavailable = |code: &str| ClientError::Unavailable(code.to_owned());
        let spent = Some("enforced_spend_limit_reached");
        for (status, told, wait, kind, cause, expected) in [
            (529, None, None, "overloaded_error", None, unavailable("overloaded_error")),
            (529, Some(true), seconds(7), "overloaded_error", None, throttled(7)),
            (500, None, None, "api_error", None, unavailable("api_error")),
            (504, None, None, "timeout_error", None, unavailable("timeout_error")),
            (408, None, None, "", None, unavailable("status 408")),
            (409, None, None, "conflict_error", None, unavailable("conflict_error")),
            (429, None, seconds(30), "rate_limit_error", None, throttled(30)),
            (429, None, None, "rate_limit_error", None, ClientError::Throttled(PAUSE)),
            (429, None, None, "rate_limit_error", spent, rejected("enforced_spend_limit_reached")),
            (
                429,
                Some(true),
                seconds(1),
                "rate_limit_error",
                spent,
                rejected("enforced_spend_limit_reached"),
            ),
            (429, Some(false), seconds(1), "rate_limit_error", None, rejected("rate_limit_error")),
            (500, Some(false), None, "api_error", None, rejected("api_error")),
            (400, None, seconds(1), "invalid_request_error", None, rejected("invalid_request_error")),
            (400, Some(true), None, "invalid_request_error", None, unavailable("invalid_request_error")),
            (400, None, None, "no code: someone@example.com", None, rejected("status 400")),
            (401, None, None, "authentication_error", None, ClientError::Unauthorized),
            (402, None, None, "billing_error", None, rejected("billing_error")),
            (403, None, None, "permission_error", None, ClientError::Unauthorized),
            (404, None, None, "not_found_error", None, rejected("not_found_error")),
            (413, None, None, "request_too_large", None, rejected("request_too_large")),
        ] {
            let failed = failed(status, told, wait, &fault(kind, cause));
            assert_eq!(failed, expected, "{status} {kind} {cause:?} {told:?}");
        }
    }

    #[test]
    fn a_thousand_short_mails_cost_what_the_price_list_says() {
        // 600 tokens read from the cache, 300 anew, 40 written.
        let mail = Usage { input: 300, output: 40, cache_read: 600, ..Usage::default() };
        assert_eq!(cost(&mail, Model::Haiku), 56);
        assert_eq!(cost(&mail, Model::Sonnet), 1_060);
        let first = Usage { cache_read: 0, cache_write_1h: 600, ..mail };
        assert_eq!(cost(&first, Model::Haiku), 170);
        let million = 1_000_000;
        let each = [
            (Usage { input: million, ..Usage::default() }, 500_000, 2_000_000),
            (Usage { output: million, ..Usage::default() }, 500_000, 10_000_000),
            (Usage { cache_read: million, ..Usage::default() }, 50_000, 100_000),
            (Usage { cache_write_5m: million, ..Usage::default() }, 625_000, 2_500_000),
            (Usage { cache_write_1h: million, ..Usage::default() }, 1_000_000, 4_000_000),
        ];
        for (usage, haiku, sonnet) in each {
            assert_eq!(
                (cost(&usage, Model::Haiku), cost(&usage, Model::Sonnet)),
                (haiku, sonnet),
                "{usage:?}"
            );
        }
        let at_most = Usage { input: LONG_PROMPT, ..Usage::default() };
        let more = Usage { input: LONG_PROMPT + 1, ..Usage::default() };
        assert_eq!((cost(&at_most, Model::Haiku), cost(&more, Model::Haiku)), (10_000, 50_001));
    }

    proptest! {
        #[test]
        fn a_request_is_never_dearer_for_what_the_cache_already_had(
            input in 0u64..50_000, cached in 0u64..50_000, output in 0u64..10_000,
        ) {
            for model in [Model::Haiku, Model::Sonnet] {
                let anew = Usage { input: input + cached, output, ..Usage::default() };
                let read = Usage { input, output, cache_read: cached, ..Usage::default() };
                prop_assert!(cost(&read, model) <= cost(&anew, model));
            }
        }

        #[test]
        fn an_id_that_is_taken_over_has_no_address_in_it(text in ".{0,80}") {
            prop_assert!(!is_id(&text) || !text.contains(['@', ' ', '\n']));
        }
    }
}
