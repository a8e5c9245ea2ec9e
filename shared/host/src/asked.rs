//! A request to an HTTP API as its function reads it: parameters, names in the path, bodies, strictly. Who asks is the
//! fronts' (`api`, `operator`).

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storeward_core::shop::{Generation, ShopId};
use storeward_core::time::Timestamp;
use storeward_store::{Acting, By, LogRange, NotARecordRef, RecordRef};

use crate::context::Context;
use crate::problem::{Problem, ProblemKind};

/// The largest body of a request, in bytes. The largest there is, settings, has under a hundredth of it.
pub const MAX_API_BODY: usize = 64 * 1024;

/// What is used of an HTTP API's event (payload format 2.0).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiEvent {
    pub(crate) route_key: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    query_string_parameters: HashMap<String, String>,
    #[serde(default)]
    path_parameters: HashMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(default)]
    request_context: ApiContext,
}

impl ApiEvent {
    /// Where the request comes from.
    pub(crate) fn origin(&self) -> Origin {
        let context = &self.request_context;
        Origin { ip: context.http.source_ip.clone(), request: context.request_id.clone() }
    }

    /// A part of the path by its name in the route; empty where the route has none of that name.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path_parameters.get(name).map_or("", String::as_str)
    }

    /// What the authorizer found out; what cannot be read is nobody.
    pub(crate) fn who<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_value(self.request_context.authorizer.lambda.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for ApiEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiEvent({})", self.route_key)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiContext {
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    http: ApiHttp,
    #[serde(default)]
    authorizer: Authorizer,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiHttp {
    #[serde(default)]
    source_ip: Option<String>,
}

/// Where a request comes from: for the access log and for whoever acts, both of which have the address hashed.
pub(crate) struct Origin {
    pub(crate) ip: Option<String>,
    pub(crate) request: Option<String>,
}

impl Origin {
    /// Somebody who acts from there. Where there is no store that could hash the address, nothing is acted on either.
    pub(crate) async fn acting(&self, ctx: &Context, by: By) -> Acting {
        let hashed = match &self.ip {
            Some(ip) => ctx.store().await.ok().and_then(|store| store.hashed_address(ip)),
            None => None,
        };
        Acting::new(by, self.request.as_deref()).at(hashed)
    }
}

#[derive(Default, Deserialize)]
struct Authorizer {
    #[serde(default)]
    lambda: Value,
}

/// What was asked for.
#[derive(Debug)]
pub struct Asked(pub(crate) ApiEvent);

fn invalid_parameter(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidParameter, detail)
}

impl Asked {
    /// Refuses parameters of the query that the route does not know: a filter with a typing error must not be none.
    ///
    /// # Errors
    /// `InvalidParameter` that names those that are known.
    pub fn know(&self, parameters: &[&str]) -> Result<(), Problem> {
        if self.0.query_string_parameters.keys().all(|given| parameters.contains(&given.as_str())) {
            return Ok(());
        }
        let known = if parameters.is_empty() { "none".to_owned() } else { parameters.join(", ") };
        Err(invalid_parameter(format!("parameters of this route: {known}")))
    }

    /// A parameter of the query.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.query_string_parameters.get(name).map(String::as_str)
    }

    /// A whole number of the query within bounds.
    ///
    /// # Errors
    /// `InvalidParameter` with the bounds.
    pub fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| invalid_parameter(format!("{name}: choose 1 to {most}")))
    }

    /// Which entries of a log are asked for, by the parameters `since`, `until`, `limit` and `cursor`: since `usual` where
    /// nothing is said, and never before `floor`.
    ///
    /// # Errors
    /// `InvalidParameter` for what cannot be, and for other parameters.
    pub fn log_range(
        &self,
        now: Timestamp,
        usual: Timestamp,
        floor: Timestamp,
        generation: Option<Generation>,
    ) -> Result<LogRange<'_>, Problem> {
        self.know(&["since", "until", "limit", "cursor"])?;
        let before = self.parameter("cursor");
        if before.is_some_and(|cursor| !LogRange::is_cursor(cursor)) {
            let detail = "cursor: send the `next` of the page before, or begin without one";
            return Err(invalid_parameter(detail));
        }
        Ok(LogRange {
            since: self.time("since")?.unwrap_or(usual).max(floor),
            until: self.time("until")?.unwrap_or(now).min(now),
            generation,
            before,
            limit: self.number("limit", 20, 100)?,
        })
    }

    /// A time of the query.
    ///
    /// # Errors
    /// `InvalidParameter` when it is not RFC 3339.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        // A plus sign that was not escaped is a space by now.
        let time = Timestamp::parse_rfc3339(&text.replace(' ', "+"));
        let time = time.filter(|time| time.millis() >= 0);
        let wrong =
            || invalid_parameter(format!("{name}: write a time as RFC 3339, like 2026-11-01T09:30:00Z"));
        time.map(Some).ok_or_else(wrong)
    }

    /// A part of the path by its name in the route; empty where the route has none of that name.
    #[must_use]
    pub fn path(&self, name: &str) -> &str {
        self.0.path(name)
    }

    /// The `{id}` of the path: 32 hexadecimal digits.
    ///
    /// # Errors
    /// `NotFound` for anything else: there is nothing of such a name.
    pub fn id(&self) -> Result<&str, Problem> {
        self.name("id")
    }

    fn name(&self, parameter: &str) -> Result<&str, Problem> {
        let id = self.0.path_parameters.get(parameter).map_or("", String::as_str);
        let well_formed = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(id) } else { Err(Problem::not_found()) }
    }

    /// The shop that the `{shop}` of the path names, by its blinded name.
    ///
    /// # Errors
    /// `NotFound` when it can name none.
    pub fn shop(&self) -> Result<ShopId, Problem> {
        ShopId::read(self.name("shop")?).ok_or_else(Problem::not_found)
    }

    /// The record of a kind that the `{id}` of the path names.
    ///
    /// # Errors
    /// `NotFound` when it can name none.
    pub fn record(&self, kind: &str) -> Result<RecordRef, Problem> {
        let named = format!("{kind}/{}", self.id()?).parse();
        named.map_err(|NotARecordRef| Problem::not_found())
    }

    /// The revision that `If-Match` asks for, when it does.
    ///
    /// # Errors
    /// `InvalidParameter` when it is not one this API gave.
    pub fn if_match(&self) -> Result<Option<i64>, Problem> {
        let header = self.0.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("if-match"));
        let Some((_, value)) = header else { return Ok(None) };
        if value.trim() == "*" {
            return Ok(None);
        }
        let tag = value.trim().strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let revision = tag.and_then(|tag| tag.parse().ok());
        revision.map(Some).ok_or_else(|| invalid_parameter("If-Match: send the ETag as it was given"))
    }

    /// The `Idempotency-Key` by which a repetition of the request is known, when there is one.
    ///
    /// # Errors
    /// `InvalidParameter` when it is not 1 to 128 visible ASCII characters.
    pub fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let header = self.0.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        let Some((_, value)) = header else { return Ok(None) };
        let known = (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        let wrong = || invalid_parameter("Idempotency-Key: send 1 to 128 visible ASCII characters");
        known.then_some(value.as_str()).map(Some).ok_or_else(wrong)
    }

    /// Reads the body where there is one: of a route that can be asked without.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub fn optional_body<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        match self.0.body.as_deref() {
            None | Some("") => Ok(None),
            Some(_) => self.body(),
        }
    }

    /// Reads a body of which what is left out stays as `now` has it.
    ///
    /// # Errors
    /// Those of [`Asked::body`].
    pub fn body_over<T: DeserializeOwned + Serialize>(&self, now: &T) -> Result<T, Problem> {
        laid_over(&self.body()?, &self.body()?, now)
    }

    /// The same of what stands in the body as `member`, and was read there as `sent`.
    ///
    /// # Errors
    /// Those of [`Asked::body`].
    pub fn member_over<T: DeserializeOwned + Serialize>(
        &self,
        member: &str,
        sent: &T,
        now: &T,
    ) -> Result<T, Problem> {
        let body: Map<String, Value> = self.body()?;
        let named = body.get(member).and_then(Value::as_object).cloned().unwrap_or_default();
        laid_over(sent, &named, now)
    }

    /// Reads the body. Its type says which members there are; others are refused.
    ///
    /// # Errors
    /// `RequestTooLarge`, or `InvalidBody` that says where reading ended and not what stood there.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self.0.body.as_deref().unwrap_or_default();
        let too_large =
            || Problem::new(ProblemKind::RequestTooLarge, format!("send at most {MAX_API_BODY} bytes"));
        // Base64 is a third longer than what it stands for.
        if text.len() > MAX_API_BODY / 3 * 4 + 4 {
            return Err(too_large());
        }
        let invalid = |detail: String| Problem::new(ProblemKind::InvalidBody, detail);
        let bytes = if self.0.is_base64_encoded {
            STANDARD.decode(text).map_err(|_| invalid("send JSON, which is UTF-8".to_owned()))?
        } else {
            text.as_bytes().to_vec()
        };
        if bytes.len() > MAX_API_BODY {
            return Err(too_large());
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|_| invalid("send JSON, which is UTF-8".to_owned()))?;
        serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            invalid(format!("{place}: see docs/openapi.json for what belongs there"))
        })
    }
}

/// What is named of what was sent, and the rest as it is now.
fn laid_over<T: DeserializeOwned + Serialize>(
    sent: &T,
    named: &Map<String, Value>,
    now: &T,
) -> Result<T, Problem> {
    let unwritable =
        |_| Problem::new(ProblemKind::InvalidBody, "see docs/openapi.json for what belongs there");
    let sent = serde_json::to_value(sent).map_err(unwritable)?;
    let mut whole = serde_json::to_value(now).map_err(unwritable)?;
    for name in named.keys() {
        whole[name] = sent[name].clone();
    }
    serde_json::from_value(whole).map_err(unwritable)
}
