//! The front of the merchants' API behind API Gateway: who is asking, for which shop, on which route, and whether the
//! table of roles allows it. What a route does is its function's; how requests are read is `asked`'s.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use storeward_core::members::Members;
use storeward_core::roles::{Permission, Role};
use storeward_core::shop::ShopId;
use storeward_core::time::Timestamp;
use storeward_store::{AccessNote, Acting, By, Installation, acting};

use crate::asked::{ApiEvent, Asked, Origin};
use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};
use crate::session::SessionTokenError;
use crate::url_event::bearer;

/// What the authorizer says of a token that does not count, in place of a shop.
pub(crate) const REFUSED: &str = "refused";

/// One route of a function.
#[derive(Clone, Copy)]
pub struct Route {
    /// Method and path as API Gateway names it: `GET /v1/cases/{id}`.
    pub key: &'static str,
    /// Whether its answer has anything personal in it: such reads are logged as what they are.
    pub personal: bool,
    /// What whoever asks must be allowed to do.
    pub needs: Permission,
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

    pub(crate) fn answer(&self) -> Value {
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

/// A request whose shop is certain and has the app installed, by somebody who may make it.
#[derive(Debug)]
pub struct ApiRequest {
    /// The shop's installation.
    pub installation: Installation,
    /// Who of the shop's staff asks, by blinded name.
    pub actor: String,
    /// What that member of staff is.
    pub role: Role,
    /// Everybody's roles, as they were when the request came.
    pub members: Members,
    /// Until when the function runs.
    pub deadline: Timestamp,
    asked: Asked,
}

impl Deref for ApiRequest {
    type Target = Asked;
    fn deref(&self) -> &Asked {
        &self.asked
    }
}

impl ApiRequest {
    /// That whoever asks may do this, too: of a route that does some things only for those who may.
    ///
    /// # Errors
    /// `Forbidden`, with who may.
    pub fn permits(&self, permission: Permission) -> Result<(), Problem> {
        permitted(self.role, permission)
    }
}

/// What the authorizer found out: nothing personal.
#[derive(Clone, Default, Deserialize)]
struct Who {
    #[serde(default)]
    shop: Option<ShopId>,
    #[serde(default)]
    actor: Option<String>,
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
    let who: Who = event.who();
    let by = By::Merchant(who.actor.clone().unwrap_or_default());
    let origin = event.origin();
    let (deadline, mut role) = (invocation.deadline, None);
    let work = async {
        let answered = match route {
            Some(route) => called(ctx, Asked(event), deadline, route, &who, &mut role).await,
            None => Err(Problem::not_found().into()),
        };
        let answered = answered_with(function, answered);
        // Before anything personal is answered it stands in the access log who gets it, and who was refused.
        match (route, &who.shop) {
            (Some(route), Some(shop)) if route.personal || is_refusal(&answered) => {
                let role = role.map(Role::name);
                let accessed = Accessed { by: &by, role, route: route.key, origin: &origin };
                answer_logged(ctx, shop, accessed, answered).await
            }
            _ => answered,
        }
    };
    let answered = acting(origin.acting(ctx, by.clone()).await, work).await;
    // The same in the function's log: which shop's member of staff, both blinded, saw or changed what.
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

/// Who asks for something personal, and from where.
#[derive(Clone, Copy)]
pub(crate) struct Accessed<'a> {
    pub(crate) by: &'a By,
    pub(crate) role: Option<&'static str>,
    pub(crate) route: &'a str,
    pub(crate) origin: &'a Origin,
}

/// Whether an answer turns somebody away for who they are.
pub(crate) fn is_refusal(answered: &Value) -> bool {
    matches!(answered["statusCode"].as_u64(), Some(401 | 403))
}

/// The answer, once the access log has it; without that, none.
pub(crate) async fn answer_logged(
    ctx: &Context,
    shop: &ShopId,
    accessed: Accessed<'_>,
    answered: Value,
) -> Value {
    let status = answered["statusCode"].as_u64().and_then(|status| status.try_into().ok());
    let Accessed { by, role, route, origin } = accessed;
    let request = Acting::new(by.clone(), origin.request.as_deref()).request;
    let (status, ip) = (status.unwrap_or_default(), origin.ip.as_deref());
    let note = AccessNote { by, role, route, status, ip, request: request.as_deref() };
    let logged = match ctx.store().await {
        Ok(store) => store.log_access(shop, &note).await.map_err(HostError::from),
        Err(error) => Err(error),
    };
    match logged {
        Ok(()) => answered,
        Err(error) => {
            tracing::error!(route, %error, "not answered: the access log could not be written");
            Problem::new(ProblemKind::Unavailable, "send it again").answer()
        }
    }
}

/// The answer to what a route came to.
pub(crate) fn answered_with(function: &'static str, came_to: Result<ApiReply, ApiError>) -> Value {
    match came_to {
        Ok(reply) => reply.answer(),
        Err(ApiError::Problem(problem)) => {
            tracing::info!(function, problem = problem.kind.id(), "api answered with a problem");
            problem.answer()
        }
        Err(ApiError::Host(error)) => {
            tracing::error!(function, %error, "api failed");
            Problem::new(ProblemKind::Unavailable, "send it again").answer()
        }
    }
}

/// What somebody is told who may not do what a route needs.
pub(crate) fn forbidden(role: &str, permission: &str, who_has_it: &[&str]) -> Problem {
    let detail = format!(
        "the role {role} lacks the permission {permission}, which have: {} (docs/roles.md)",
        who_has_it.join(", ")
    );
    Problem::new(ProblemKind::Forbidden, detail)
}

/// That the table of roles allows it.
fn permitted(role: Role, permission: Permission) -> Result<(), Problem> {
    if role.may(permission) {
        return Ok(());
    }
    let who_has_it: Vec<&str> = permission.granted().iter().map(|role| role.name()).collect();
    Err(forbidden(role.name(), permission.name(), &who_has_it))
}

/// Does what a route does, for whoever may ask it for that. Says in `found` what they are, once it is known.
async fn called(
    ctx: &Context,
    asked: Asked,
    deadline: Timestamp,
    route: &Route,
    who: &Who,
    found: &mut Option<Role>,
) -> Result<ApiReply, ApiError> {
    // Whatever is not a member of a shop that the authorizer named is nobody: a missing authorizer opens nothing.
    let (Some(shop), Some(actor)) = (&who.shop, &who.actor) else {
        let detail = "send a session token that Shopify made for this app in the last minute";
        return Err(Problem::new(ProblemKind::InvalidSession, detail).into());
    };
    let entered = ctx.store().await?.entered(shop).await?;
    let Some((installation, members)) = entered.filter(|(installation, _)| installation.is_installed())
    else {
        return Err(Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into());
    };
    let role = members.role_of(actor);
    *found = Some(role);
    permitted(role, route.needs)?;
    let actor = actor.clone();
    let request = ApiRequest { installation, actor, role, members, deadline, asked };
    (route.handle)(ctx, request).await
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
pub(crate) struct AuthorizerEvent {
    #[serde(default)]
    identity_source: Vec<String>,
}

impl AuthorizerEvent {
    pub(crate) fn read(event: Value) -> Result<Self, InvokeError> {
        serde_json::from_value(event)
            .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API's authorizer"))
    }

    /// What stands after `Bearer` in the `Authorization` header; empty for anything else.
    pub(crate) fn token(&self) -> &str {
        let header = self.identity_source.first().map_or("", String::as_str);
        bearer(header).unwrap_or_default()
    }
}

/// The authorizer: says whose a session token is. One that does not count is let through as nobody's, for the API's own
/// front to answer: API Gateway's refusal cannot carry the header that the admin waits for (docs/decisions/0012).
///
/// # Errors
/// When the event is not an authorizer's, or the token could not be checked: API Gateway answers 500 then.
pub async fn authorize(ctx: &Context, invocation: Invocation) -> Result<Value, InvokeError> {
    let event = AuthorizerEvent::read(invocation.event)?;
    let context = match ctx.verify_session_token(event.token()).await {
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
