//! What a request to the Messages API may say, as API version 2026-10-21 and the 5.5 models take it. What the API knows and
//! this simulation does not have is refused with those words, so that nothing is ignored.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::schema;

/// The ends of what is remembered.
pub(super) const FIVE_MINUTES: Duration = Duration::from_mins(5);
const ONE_HOUR: Duration = Duration::from_hours(1);

/// A token is about so many bytes: enough for figures that can be compared.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// The models that are simulated. Each takes a million tokens and gives at most 128,000 (Claude API, "Models").
const MODELS: [&str; 2] = ["claude-haiku-5-5", "claude-sonnet-5-5"];
const LONGEST_PROMPT: u64 = 1_000_000;
const MOST_TOKENS: u64 = 128_000;

/// The most marks for the cache.
const MOST_MARKS: usize = 4;

/// What is in the API and not in here.
const NOT_SIMULATED: [&str; 7] =
    ["container", "context_management", "diagnostics", "inference_geo", "mcp_servers", "speed", "tools"];

/// Everything else that a request may have.
const FIELDS: [&str; 12] = [
    "cache_control",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
];

/// Why a request is not taken.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(400, "invalid_request_error", message))
}

/// A text of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    /// Whose it is: `system`, `user` or `assistant`.
    pub(super) role: &'static str,
    pub(super) text: String,
    /// For how long everything up to its end is to be remembered.
    pub(super) cache: Option<Duration>,
}

/// A request that is taken.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) max_tokens: u64,
    /// In the order in which the cache sees them.
    pub(super) blocks: Vec<Block>,
    pub(super) schema: Option<Value>,
    pub(super) thinks: bool,
}

/// How many tokens a text is, roughly.
pub(super) fn tokens(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN)
}

impl Request {
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        match headers.get("anthropic-version").map(|version| version.to_str().unwrap_or_default()) {
            None => return invalid("anthropic-version: header is required"),
            Some(super::VERSION) => {}
            Some(version) => {
                return invalid(format!("anthropic-version: {version:?} is not a version that is simulated"));
            }
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return invalid("The request body is not valid JSON");
        };
        for field in body.keys().map(String::as_str) {
            if NOT_SIMULATED.contains(&field) {
                return invalid(format!("{field}: is in the API, and not in this simulation"));
            }
            if !FIELDS.contains(&field) {
                return invalid(format!("{field}: Extra inputs are not permitted"));
            }
        }
        let model = model(&body)?;
        let max_tokens = max_tokens(&body, &model)?;
        if body.get("stream").is_some_and(|stream| *stream != false) {
            return invalid("stream: is in the API, and not in this simulation");
        }
        if body.get("tool_choice").is_some_and(|choice| choice["type"] == "any" || choice["type"] == "tool") {
            return invalid("tool_choice: forced tool use is not supported by this model");
        }
        let mut blocks = Vec::new();
        system(body.get("system"), &mut blocks)?;
        messages(body.get("messages"), &mut blocks)?;
        if let Some(keep) = cache(body.get("cache_control"), "cache_control")?
            && let Some(last) = blocks.last_mut()
        {
            last.cache = Some(keep);
        }
        marks(&blocks)?;
        let (schema, effort) = output(body.get("output_config"))?;
        let thinks = thinks(body.get("thinking"), &model)? && effort != Some("low");
        let prompt: u64 = blocks.iter().map(|block| tokens(&block.text)).sum();
        if prompt > LONGEST_PROMPT {
            return invalid(format!("prompt is too long: {prompt} tokens > {LONGEST_PROMPT} maximum"));
        }
        Ok(Self { model, max_tokens, blocks, schema, thinks })
    }
}

fn model(body: &Map<String, Value>) -> Result<String, Problem> {
    match body.get("model") {
        None => invalid("model: Field required"),
        Some(Value::String(model)) if MODELS.contains(&model.as_str()) => Ok(model.clone()),
        Some(Value::String(model)) => Err(Problem::new(404, "not_found_error", format!("model: {model}"))),
        Some(_) => invalid("model: Input should be a valid string"),
    }
}

fn max_tokens(body: &Map<String, Value>, model: &str) -> Result<u64, Problem> {
    match body.get("max_tokens").map(Value::as_u64) {
        None => invalid("max_tokens: Field required"),
        Some(None) => invalid("max_tokens: Input should be a valid integer"),
        Some(Some(0)) => invalid("max_tokens: must be greater than or equal to 1"),
        Some(Some(most)) if most > MOST_TOKENS => invalid(format!(
            "max_tokens: {most} > {MOST_TOKENS}, which is the maximum allowed number of output tokens for {model}"
        )),
        Some(Some(most)) => Ok(most),
    }
}

fn system(system: Option<&Value>, blocks: &mut Vec<Block>) -> Result<(), Problem> {
    match system {
        None => Ok(()),
        Some(system) => content(system, "system", "system", blocks),
    }
}

fn messages(messages: Option<&Value>, blocks: &mut Vec<Block>) -> Result<(), Problem> {
    let Some(Value::Array(messages)) = messages else { return invalid("messages: Field required") };
    let Some(last) = messages.last() else { return invalid("messages: at least one message is required") };
    for (index, message) in messages.iter().enumerate() {
        let role = match message["role"].as_str() {
            Some("user") => "user",
            Some("assistant") if index == 0 => {
                return invalid("messages: first message must use the \"user\" role");
            }
            Some("assistant") => "assistant",
            _ => return invalid(format!("messages.{index}.role: Input should be 'user' or 'assistant'")),
        };
        content(&message["content"], &format!("messages.{index}.content"), role, blocks)?;
    }
    if last["role"] == "assistant" {
        return invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        );
    }
    Ok(())
}

/// A text, or a list of blocks of text.
fn content(content: &Value, at: &str, role: &'static str, blocks: &mut Vec<Block>) -> Result<(), Problem> {
    let empty = || invalid(format!("{at}: text content blocks must be non-empty"));
    match content {
        Value::String(text) if text.is_empty() => return empty(),
        Value::String(text) => blocks.push(Block { role, text: text.clone(), cache: None }),
        Value::Array(list) if list.is_empty() && role != "system" => return empty(),
        Value::Array(list) => {
            for (index, block) in list.iter().enumerate() {
                let at = format!("{at}.{index}");
                if block["type"] != "text" {
                    return invalid(format!("{at}: Input tag is not one that is simulated: 'text'"));
                }
                let Some(text) = block["text"].as_str() else {
                    return invalid(format!("{at}.text.text: Field required"));
                };
                if text.is_empty() {
                    return empty();
                }
                let cache = cache(block.get("cache_control"), &at)?;
                blocks.push(Block { role, text: text.to_owned(), cache });
            }
        }
        _ => return invalid(format!("{at}: Input should be a valid string or list")),
    }
    Ok(())
}

fn cache(control: Option<&Value>, at: &str) -> Result<Option<Duration>, Problem> {
    let Some(control) = control.filter(|control| !control.is_null()) else { return Ok(None) };
    if control["type"] != "ephemeral" {
        return invalid(format!("{at}.cache_control.type: Input should be 'ephemeral'"));
    }
    match control.get("ttl").map(Value::as_str) {
        None | Some(Some("5m")) => Ok(Some(FIVE_MINUTES)),
        Some(Some("1h")) => Ok(Some(ONE_HOUR)),
        Some(_) => invalid(format!("{at}.cache_control.ttl: Input should be '5m' or '1h'")),
    }
}

fn marks(blocks: &[Block]) -> Result<(), Problem> {
    let marks: Vec<Duration> = blocks.iter().filter_map(|block| block.cache).collect();
    if marks.len() > MOST_MARKS {
        return invalid(format!(
            "A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {}.",
            marks.len()
        ));
    }
    if marks.windows(2).any(|pair| pair[0] < pair[1]) {
        return invalid(
            "cache_control: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
        );
    }
    Ok(())
}

/// The schema and the effort.
fn output(config: Option<&Value>) -> Result<(Option<Value>, Option<&str>), Problem> {
    let Some(config) = config else { return Ok((None, None)) };
    let Some(fields) = config.as_object() else {
        return invalid("output_config: Input should be a valid dictionary");
    };
    if let Some(field) = fields.keys().find(|field| *field != "effort" && *field != "format") {
        return invalid(format!("output_config.{field}: Extra inputs are not permitted"));
    }
    let effort = match fields.get("effort").filter(|effort| !effort.is_null()).map(Value::as_str) {
        None => None,
        Some(Some(effort @ ("low" | "medium" | "high" | "xhigh" | "max"))) => Some(effort),
        Some(_) => {
            return invalid(
                "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
            );
        }
    };
    let Some(format) = fields.get("format").filter(|format| !format.is_null()) else {
        return Ok((None, effort));
    };
    if format["type"] != "json_schema" {
        return invalid("output_config.format.type: Input should be 'json_schema'");
    }
    let Some(wanted) = format.get("schema") else {
        return invalid("output_config.format.schema: Field required");
    };
    match schema::check(wanted) {
        Ok(()) => Ok((Some(wanted.clone()), effort)),
        Err(why) => invalid(format!("output_config.format.schema: {why}")),
    }
}

/// Whether it thinks: both models do unless told otherwise, and how they are told differs.
fn thinks(thinking: Option<&Value>, model: &str) -> Result<bool, Problem> {
    let Some(thinking) = thinking else { return Ok(true) };
    match (thinking["type"].as_str(), model) {
        (Some("adaptive"), _) => Ok(true),
        (Some("between_tools"), "claude-sonnet-5-5") | (Some("disabled"), "claude-haiku-5-5") => Ok(false),
        (Some(kind), _) => invalid(format!("thinking.type: {kind:?} is not supported by this model")),
        (None, _) => invalid("thinking.type: Field required"),
    }
}
