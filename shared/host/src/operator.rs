//! The front of the operators' API: whose token it is, and whether the table of roles allows the route. Shops are named
//! by their blinded names. What a route does is its function's; what a token must say, `core::operator_token`'s.

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::{Value, json};
use storeward_clients::issuer::Issuer;
use storeward_core::jwt::key_named;
use storeward_core::operator_token::{Expected, OperatorToken, OperatorTokenFault};
use storeward_core::roles::{OperatorPermission, OperatorRole};
use storeward_core::shop::ShopId;
use storeward_core::time::Timestamp;
use storeward_store::{By, Installation, acting};

use crate::api::{
    Accessed, Answering, ApiError, ApiReply, AuthorizerEvent, REFUSED, answer_logged, answered_with,
    forbidden, is_refusal,
};
use crate::asked::{ApiEvent, Asked};
use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind};
use crate::settings::Setting;

/// One route of a function of the operators' API.
#[derive(Clone, Copy)]
pub struct OperatorRoute {
    /// Method and path as API Gateway names it: `GET /operator/v1/shops/{shop}`.
    pub key: &'static str,
    /// Whether its answer has anything personal in it: such reads are logged as what they are.
    pub personal: bool,
    /// What whoever asks must be allowed to do.
    pub needs: OperatorPermission,
    /// The code.
    pub handle: for<'a> fn(&'a Context, OperatorRequest) -> Answering<'a>,
}

impl fmt::Debug for OperatorRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorRoute({})", self.key)
    }
}

/// A request of an operator who may make it.
#[derive(Debug)]
pub struct OperatorRequest {
    /// Who asks, by blinded name.
    pub actor: String,
    /// What the operator is.
    pub role: OperatorRole,
    /// Until when the function runs.
    pub deadline: Timestamp,
    asked: Asked,
}

impl Deref for OperatorRequest {
    type Target = Asked;
    fn deref(&self) -> &Asked {
        &self.asked
    }
}

impl OperatorRequest {
    /// The latest installation of the shop that the `{shop}` of the path names, whatever its state.
    ///
    /// # Errors
    /// `NotFound` when nothing is known of it (any more).
    pub async fn installation(&self, ctx: &Context) -> Result<Installation, ApiError> {
        let shop = self.shop()?;
        let installation = ctx.store().await?.installation(&shop).await?;
        Ok(installation.ok_or_else(Problem::not_found)?)
    }
}

/// The most characters of a reference.
const LONGEST_REFERENCE: usize = 40;

/// Whether a reference is a number in the operators' files, of capitals, digits and hyphens: so that it is about nobody, and can
/// stand in the ledger, which is kept for good.
#[must_use]
pub fn is_file_number(reference: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    reference.len() <= LONGEST_REFERENCE
        && reference.bytes().all(plain)
        && reference.bytes().any(|byte| byte.is_ascii_digit())
}

/// What the authorizer found out: nothing personal.
#[derive(Clone, Default, Deserialize)]
struct Operator {
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    role: Option<OperatorRole>,
}

/// Runs a function of the operators' API: who asks comes from its authorizer alone.
///
/// # Errors
/// When the event is not one of an HTTP API; everything else becomes an answer.
pub async fn operator_api(
    ctx: &Context,
    invocation: Invocation,
    function: &'static str,
    routes: &'static [OperatorRoute],
) -> Result<Value, InvokeError> {
    let event: ApiEvent = serde_json::from_value(invocation.event)
        .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API"))?;
    let route = routes.iter().find(|route| route.key == event.route_key);
    let who: Operator = event.who();
    let origin = event.origin();
    let asked = Asked(event);
    let shop = asked.shop().ok();
    let (deadline, by) = (invocation.deadline, By::Operator(who.operator.clone().unwrap_or_default()));
    let work = async {
        let answered = match route {
            Some(route) => called(ctx, asked, deadline, route, &who).await,
            None => Err(Problem::not_found().into()),
        };
        let answered = answered_with(function, answered);
        // As in the merchants' API: in the access log of the shop it is about, which its merchant can read, or the
        // deployment's.
        match route {
            Some(route) if who.operator.is_some() && (route.personal || is_refusal(&answered)) => {
                let role = who.role.map(OperatorRole::name);
                let accessed = Accessed { by: &by, role, route: route.key, origin: &origin };
                let of = shop.clone().unwrap_or_else(ShopId::deployment);
                answer_logged(ctx, &of, accessed, answered).await
            }
            _ => answered,
        }
    };
    let answered = acting(origin.acting(ctx, by.clone()).await, work).await;
    // The same in the function's log: which operator, blinded, saw or changed what of which shop.
    tracing::info!(
        function,
        route = route.map_or("none", |route| route.key),
        personal = route.is_some_and(|route| route.personal),
        shop = shop.as_ref().map_or("none", ShopId::as_str),
        operator = who.operator.as_deref().unwrap_or("none"),
        role = who.role.map_or("none", OperatorRole::name),
        status = answered["statusCode"].as_u64(),
        "operator api"
    );
    Ok(answered)
}

async fn called(
    ctx: &Context,
    asked: Asked,
    deadline: Timestamp,
    route: &OperatorRoute,
    who: &Operator,
) -> Result<ApiReply, ApiError> {
    // A missing authorizer opens nothing.
    let (Some(actor), Some(role)) = (&who.operator, who.role) else {
        let detail = "sign in as an operator again, and send the token within the hour it counts";
        return Err(Problem::new(ProblemKind::InvalidOperatorToken, detail).into());
    };
    if !role.may(route.needs) {
        let who_has_it: Vec<&str> = route.needs.granted().iter().map(|role| role.name()).collect();
        return Err(forbidden(role.name(), route.needs.name(), &who_has_it).into());
    }
    let request = OperatorRequest { actor: actor.clone(), role, deadline, asked };
    (route.handle)(ctx, request).await
}

/// The authorizer of the operators' API: says whose token it is. One that does not count is let through as nobody's, for
/// the API's own front to answer with a problem.
///
/// # Errors
/// When the event is not an authorizer's, or the token could not be checked: API Gateway answers 500 then.
pub async fn authorize_operator(ctx: &Context, invocation: Invocation) -> Result<Value, InvokeError> {
    let event = AuthorizerEvent::read(invocation.event)?;
    let context = match ctx.verify_operator_token(event.token()).await? {
        Ok(token) => {
            let issuer = ctx.setting(Setting::OperatorIssuer)?;
            let operator = ctx.store().await?.operator(issuer, token.subject.expose());
            json!({ "operator": operator, "role": token.role })
        }
        Err(fault) => {
            tracing::info!(%fault, "an operator's token does not count");
            json!({ REFUSED: "invalid-operator-token" })
        }
    };
    Ok(json!({ "isAuthorized": true, "context": context }))
}

impl Context {
    /// Checks an operator's token. Needs [`Setting::OPERATORS`]. The issuer's keys are remembered, and asked for again
    /// when they are an hour old or a token is signed with one that is not known; at most once a minute.
    pub async fn verify_operator_token(
        &self,
        token: &str,
    ) -> Result<Result<OperatorToken, OperatorTokenFault>, HostError> {
        let expected = Expected {
            issuer: self.setting(Setting::OperatorIssuer)?,
            audience: self.setting(Setting::OperatorAudience)?,
            role_claim: self.setting(Setting::OperatorRoleClaim)?,
            mfa_claim: self.setting(Setting::OperatorMfa)? != "issuer",
        };
        let Some(kid) = key_named(token) else { return Ok(Err(OperatorTokenFault::Malformed)) };
        let asking = async { Issuer::new(expected.issuer)?.keys().await };
        let keys = self.operator_keys.keys(&kid, self.now(), asking).await.map_err(HostError::Issuer)?;
        Ok(OperatorToken::verify(token, &expected, &keys, self.now()))
    }
}
