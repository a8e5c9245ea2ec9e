//! The front of the merchants' API behind API Gateway: who is asking, for which shop, on which route; bodies and
//! parameters are read strictly, and every answer is typed or an RFC 9457 problem. What a route does is its function's.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use storeward_core::shop::ShopId;
use storeward_core::time::Timestamp;
use storeward_store::{Acting, By, Installation, NotARecordRef, RecordRef, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};
use crate::session::SessionTokenError;

/// The largest body of a request, in bytes. The largest there is, settings, has under a hundredth of it.
pub const MAX_API_BODY: usize = 64 * 1024;

/// What the authorizer says of a token that does not count, in place of a shop.
const REFUSED: &str = "refused";

/// One route of a function.
#[derive(Clone, Copy)]
pub struct Route {
    /// Method and path as API Gateway names it: `GET /v1/cases/{id}`.
    pub key: &'static str,
    /// Whether its answer has anything personal in it: such reads are logged as what they are.
    pub personal: bool,
    /// The code.
    pub handle: for<'a> fn(&'a Context, ApiRequest) -> Answering<'a>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({})", self.key)
    }
}

/// What a route's code comes to.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<ApiReply, ApiError>> + Send + 'a>>;

/// What a route answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiReply {
    status: u16,
    body: Value,
    revision: Option<i64>,
}

impl ApiReply {
    /// 200 with a body.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn ok<T: Serialize>(body: &T) -> Result<Self, ApiError> {
        Self::with(200, body)
    }

    /// 202 with a body: it will be done.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn accepted<T: Serialize>(body: &T) -> Result<Self, ApiError> {
        Self::with(202, body)
    }

    /// 204: done, and there is nothing to say.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { status: 204, body: Value::Null, revision: None }
    }

    /// Names the revision of what is answered (`ETag`), for a later `If-Match`.
    #[must_use]
    pub const fn at_revision(mut self, revision: i64) -> Self {
        self.revision = Some(revision);
        self
    }

    fn with<T: Serialize>(status: u16, body: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_value(body)
            .map_err(|_| HostError::Aws { operation: "answer", code: "unwritable".to_owned() })?;
        Ok(Self { status, body, revision: None })
    }

    fn answer(&self) -> Value {
        let mut answered = answer(self.status, "application/json", &self.body);
        if self.body.is_null() {
            answered["body"] = json!("");
        }
        if let Some(revision) = self.revision {
            answered["headers"]["etag"] = json!(format!("\"{revision}\""));
        }
        answered
    }
}

/// Why a route did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The caller should know.
    Problem(Problem),
    /// It is the host's matter; the caller is asked to try again.
    Host(HostError),
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl<E: Into<HostError>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::Host(error.into())
    }
}

/// A request whose shop is certain and has the app installed.
#[derive(Debug)]
pub struct ApiRequest {
    /// The shop's installation.
    pub installation: Installation,
    /// Until when the function runs.
    pub deadline: Timestamp,
    event: ApiEvent,
}

/// What is used of an HTTP API's event (payload format 2.0).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiEvent {
    route_key: String,
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
    request_context: ApiContext,
}

impl fmt::Debug for ApiEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiEvent({})", self.route_key)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiContext {
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    authorizer: Authorizer,
}

#[derive(Default, Deserialize)]
struct Authorizer {
    #[serde(default)]
    lambda: Who,
}

/// What the authorizer found out: nothing personal.
#[derive(Clone, Default, Deserialize)]
struct Who {
    #[serde(default)]
    shop: Option<ShopId>,
    #[serde(default)]
    actor: Option<String>,
}

fn invalid_parameter(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidParameter, detail)
}

impl ApiRequest {
    /// Refuses parameters of the query that the route does not know: a filter with a typing error must not be none.
    ///
    /// # Errors
    /// `InvalidParameter` that names those that are known.
    pub fn know(&self, parameters: &[&str]) -> Result<(), Problem> {
        if self.event.query_string_parameters.keys().all(|given| parameters.contains(&given.as_str())) {
            return Ok(());
        }
        let known = if parameters.is_empty() { "none".to_owned() } else { parameters.join(", ") };
        Err(invalid_parameter(format!("parameters of this route: {known}")))
    }

    /// A parameter of the query.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.event.query_string_parameters.get(name).map(String::as_str)
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

    /// The `{id}` of the path: 32 hexadecimal digits.
    ///
    /// # Errors
    /// `NotFound` for anything else: there is nothing of such a name.
    pub fn id(&self) -> Result<&str, Problem> {
        let id = self.event.path_parameters.get("id").map_or("", String::as_str);
        let well_formed = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(id) } else { Err(Problem::not_found()) }
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
        let header = self.event.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("if-match"));
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
        let header = self.event.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        let Some((_, value)) = header else { return Ok(None) };
        let known = (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        let wrong = || invalid_parameter("Idempotency-Key: send 1 to 128 visible ASCII characters");
        known.then_some(value.as_str()).map(Some).ok_or_else(wrong)
    }

    /// Reads the body. Its type says which members there are; others are refused.
    ///
    /// # Errors
    /// `RequestTooLarge`, or `InvalidBody` that says where reading ended and not what stood there.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self.event.body.as_deref().unwrap_or_default();
        let too_large =
            || Problem::new(ProblemKind::RequestTooLarge, format!("send at most {MAX_API_BODY} bytes"));
        // Base64 is a third longer than what it stands for.
        if text.len() > MAX_API_BODY / 3 * 4 + 4 {
            return Err(too_large());
        }
        let invalid = |detail: String| Problem::new(ProblemKind::InvalidBody, detail);
        let bytes = if self.event.is_base64_encoded {
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

/// Runs an API function: the caller's shop comes from the authorizer alone, and must have the app installed.
///
/// # Errors
/// When the event is not one of an HTTP API; everything else becomes an answer.
pub async fn api(
    ctx: &Context,
    invocation: Invocation,
    function: &'static str,
    routes: &'static [Route],
) -> Result<Value, InvokeError> {
    let event: ApiEvent = serde_json::from_value(invocation.event)
        .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API"))?;
    let route = routes.iter().find(|route| route.key == event.route_key);
    let who = event.request_context.authorizer.lambda.clone();
    let answered = match route {
        Some(route) => called(ctx, event, invocation.deadline, route, &who).await,
        None => Err(Problem::not_found().into()),
    };
    let answered = match answered {
        Ok(reply) => reply.answer(),
        Err(ApiError::Problem(problem)) => {
            tracing::info!(function, problem = problem.kind.id(), "api answered with a problem");
            problem.answer()
        }
        Err(ApiError::Host(error)) => {
            tracing::error!(function, %error, "api failed");
            Problem::new(ProblemKind::Unavailable, "send it again").answer()
        }
    };
    // The access log: which shop's member of staff, both blinded, saw or changed what.
    tracing::info!(
        function,
        route = route.map_or("none", |route| route.key),
        personal = route.is_some_and(|route| route.personal),
        shop = who.shop.as_ref().map_or("none", ShopId::as_str),
        actor = who.actor.as_deref().unwrap_or("none"),
        status = answered["statusCode"].as_u64(),
        "api"
    );
    Ok(answered)
}

async fn called(
    ctx: &Context,
    event: ApiEvent,
    deadline: Timestamp,
    route: &Route,
    who: &Who,
) -> Result<ApiReply, ApiError> {
    // Whatever is not a shop that the authorizer named is nobody: a missing authorizer opens nothing.
    let Some(shop) = &who.shop else {
        let detail = "send a session token that Shopify made for this app in the last minute";
        return Err(Problem::new(ProblemKind::InvalidSession, detail).into());
    };
    let installation = ctx.store().await?.installation(shop).await?;
    let Some(installation) = installation.filter(Installation::is_installed) else {
        return Err(Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into());
    };
    let by = By::Merchant(who.actor.clone().unwrap_or_default());
    let who = Acting::new(by, event.request_context.request_id.as_deref());
    acting(who, (route.handle)(ctx, ApiRequest { installation, deadline, event })).await
}

/// Answers with a document that is the same for everyone.
///
/// # Errors
/// When the document is not JSON.
pub fn document(text: &'static str) -> Result<Value, InvokeError> {
    let document: &RawValue =
        serde_json::from_str(text).map_err(|_| InvokeError::NotMyEvent("answered by a document"))?;
    let mut answered = answer(200, "application/json", &document);
    answered["headers"]["cache-control"] = json!("public, max-age=300");
    Ok(answered)
}

/// What is used of a request authorizer's event (payload format 2.0).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerEvent {
    #[serde(default)]
    identity_source: Vec<String>,
}

/// The authorizer: says whose a session token is. One that does not count is let through as nobody's, for the API's own
/// front to answer: API Gateway's refusal cannot carry the header that the admin waits for (docs/decisions/0012).
///
/// # Errors
/// When the event is not an authorizer's, or the token could not be checked: API Gateway answers 500 then.
pub async fn authorize(ctx: &Context, invocation: Invocation) -> Result<Value, InvokeError> {
    let event: AuthorizerEvent = serde_json::from_value(invocation.event)
        .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API's authorizer"))?;
    let header = event.identity_source.first().map_or("", String::as_str);
    let (scheme, token) = header.trim().split_once(' ').unwrap_or_default();
    let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
    let context = match ctx.verify_session_token(token).await {
        Ok(session) => {
            let store = ctx.store().await?;
            let shop = store.shop_id(&session.shop);
            let user = session.user.as_ref().map_or("", |user| user.expose());
            json!({ "actor": store.actor(&shop, user), "shop": shop })
        }
        Err(SessionTokenError::Invalid(fault)) => {
            tracing::info!(%fault, "a session token does not count");
            json!({ REFUSED: "invalid-session" })
        }
        Err(SessionTokenError::Host(error)) => return Err(InvokeError::Failed(error)),
    };
    Ok(json!({ "isAuthorized": true, "context": context }))
}
