//! The front of what a merchant's browser calls: one method each, a query without repetitions, cookies, a session token,
//! and answers that no page can frame or cache. What is checked of them beyond that is the handlers'.

use serde_json::{Value, json};
use storeward_clients::ClientError;
use storeward_core::oauth::{Query, QueryFault};
use storeward_core::session::SessionToken;
use storeward_core::shop::ShopDomain;
use storeward_store::{Acting, By, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};
use crate::session::SessionTokenError;
use crate::settings::Setting;
use crate::url_event::UrlEvent;

/// The cookie that a browser keeps the state of an installation or a consent in. The prefix makes browsers refuse it from anyone but
/// this very host over TLS.
const STATE_COOKIE: &str = "__Host-storeward-state";

/// A request of a browser.
#[derive(Debug)]
pub struct BrowserRequest {
    /// What stands after the question mark.
    pub query: Query,
    /// Which address it is, without host and query.
    pub path: String,
    cookies: Vec<String>,
    token: Option<String>,
    acting: Acting,
}

/// What a browser is answered.
#[derive(Debug)]
pub enum Reply {
    /// It goes on somewhere else.
    Redirect {
        /// The address.
        to: String,
        /// What it remembers until then: the new state, or nothing any more.
        state: Option<String>,
    },
    /// JSON, for the app's own pages.
    Json(Value),
}

/// Why a browser gets no reply.
#[derive(Debug)]
pub enum BrowserError {
    /// The caller should know.
    Problem(Problem),
    /// The session token does not count: the admin is asked for a new one.
    Session(SessionTokenError),
    /// It is the host's matter.
    Host(HostError),
}

impl BrowserError {
    /// A problem of that kind; `detail` says what to do.
    #[must_use]
    pub fn problem(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self::Problem(Problem::new(kind, detail))
    }
}

impl<E: Into<HostError>> From<E> for BrowserError {
    fn from(error: E) -> Self {
        Self::Host(error.into())
    }
}

impl BrowserRequest {
    /// The shop that the query names.
    pub fn shop(&self) -> Result<ShopDomain, BrowserError> {
        self.query.get("shop").and_then(|shop| shop.parse().ok()).ok_or_else(|| {
            BrowserError::problem(ProblemKind::InvalidQuery, "give shop=, a shop's permanent domain")
        })
    }

    /// The state that this browser was given.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        let mut found = self.cookies.iter().filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == STATE_COOKIE).then_some(value)
        });
        // Two of them would leave open which one counts.
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether this browser was given that state.
    #[must_use]
    pub fn was_given(&self, state: &str) -> bool {
        // Both are this browser's: there is nothing to find out by the time that comparing takes.
        self.state() == Some(state)
    }

    /// Runs `work` in the name of whoever that is.
    pub async fn acting_for<F: Future>(&self, by: By, work: F) -> F::Output {
        acting(Acting { by, ..self.acting.clone() }, work).await
    }

    /// Runs `work` in the name of the member of staff whose session it is.
    pub async fn as_session<F: Future>(
        &self,
        ctx: &Context,
        session: &SessionToken,
        work: F,
    ) -> Result<F::Output, HostError> {
        let store = ctx.store().await?;
        let user = session.user.as_ref().map_or("", |user| user.expose());
        let actor = store.actor(&store.shop_id(&session.shop), user);
        Ok(self.acting_for(By::Merchant(actor), work).await)
    }

    /// Who is asking, by the session token of the `Authorization` header, and that token.
    pub async fn session(&self, ctx: &Context) -> Result<(SessionToken, &str), BrowserError> {
        let token = self.token.as_deref().ok_or_else(|| {
            let detail = "send Authorization: Bearer and the session token";
            BrowserError::problem(ProblemKind::InvalidSession, detail)
        })?;
        match ctx.verify_session_token(token).await {
            Ok(session) => Ok((session, token)),
            Err(SessionTokenError::Host(error)) => Err(BrowserError::Host(error)),
            Err(error) => Err(BrowserError::Session(error)),
        }
    }
}

/// Runs a function that browsers call with `method`.
///
/// # Errors
/// When the event is not an HTTP request; everything else becomes an answer.
pub async fn browser<'a, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    function: &'static str,
    method: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    F: FnOnce(&'a Context, BrowserRequest) -> Fut,
    Fut: Future<Output = Result<Reply, BrowserError>>,
{
    let event = UrlEvent::read(invocation.event)?;
    // Who it is, a handler finds out: a session token may tell, an OAuth callback does not.
    let who = event.origin().acting(ctx, By::Merchant(String::new())).await;
    let outcome = match read(event, method, who.clone()) {
        Ok(request) => acting(who, handle(ctx, request)).await,
        Err(problem) => Err(BrowserError::Problem(problem)),
    };
    let mut answered = match outcome {
        Ok(Reply::Json(body)) => answer(200, "application/json", &body),
        Ok(Reply::Redirect { to, state }) => redirect(&to, state.as_deref()),
        Err(error) => refused(function, error),
    };
    if answered["statusCode"] == 405 {
        answered["headers"]["allow"] = json!(method);
    }
    // The address of a callback holds a code.
    answered["headers"]["referrer-policy"] = json!("no-referrer");
    tracing::info!(function, status = answered["statusCode"].as_u64(), "answered");
    Ok(answered)
}

fn read(event: UrlEvent, method: &str, acting: Acting) -> Result<BrowserRequest, Problem> {
    if event.method() != method {
        return Err(Problem::new(ProblemKind::MethodNotAllowed, format!("use {method}")));
    }
    let query = Query::parse(&event.raw_query_string)
        .map_err(|fault| Problem::new(ProblemKind::InvalidQuery, fault.to_string()))?;
    let token = event.bearer().map(str::to_owned);
    Ok(BrowserRequest { query, path: event.raw_path, cookies: event.cookies, token, acting })
}

fn redirect(to: &str, state: Option<&str>) -> Value {
    let mut answered = answer(302, "application/json", &json!({}));
    answered["headers"]["location"] = json!(to);
    // Lax: the browser comes back from Shopify or Google by following a link.
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Lax";
    let cookie = match state {
        Some(state) => {
            let seconds = storeward_core::oauth::STATE_LIFETIME.as_secs();
            format!("{STATE_COOKIE}={state}; Max-Age={seconds}; {attributes}")
        }
        None => format!("{STATE_COOKIE}=; Max-Age=0; {attributes}"),
    };
    answered["cookies"] = json!([cookie]);
    answered
}

fn refused(function: &'static str, error: BrowserError) -> Value {
    let retry = |answered: &mut Value| {
        let (name, value) = SessionTokenError::RETRY_HEADER;
        answered["headers"][name] = json!(value);
    };
    let problem = match error {
        BrowserError::Problem(problem) => problem,
        BrowserError::Session(error) => Problem::new(ProblemKind::InvalidSession, error.to_string()),
        BrowserError::Host(HostError::ScopesLacking(scopes)) => {
            let detail = format!("install the app again and grant {}", scopes.join(", "));
            Problem::new(ProblemKind::ScopesLacking, detail)
        }
        BrowserError::Host(HostError::Shopify(ClientError::Unauthorized)) => refused_consent(),
        BrowserError::Host(HostError::Shopify(ClientError::Rejected(code))) if code == "invalid_request" => {
            refused_consent()
        }
        BrowserError::Host(error) => {
            tracing::error!(function, %error, "failed");
            Problem::new(ProblemKind::Unavailable, "try again in a minute")
        }
    };
    tracing::warn!(function, problem = problem.kind.id(), "answered with a problem");
    let mut answered = problem.answer();
    if problem.kind == ProblemKind::InvalidSession {
        retry(&mut answered);
    }
    answered
}

fn refused_consent() -> Problem {
    Problem::new(ProblemKind::ConsentRefused, "open the app from the Shopify admin, or install it again")
}

impl From<QueryFault> for BrowserError {
    fn from(fault: QueryFault) -> Self {
        let kind = match fault {
            QueryFault::Signature | QueryFault::Time => ProblemKind::UnsignedQuery,
            QueryFault::TooLong | QueryFault::Repeated | QueryFault::Encoding => ProblemKind::InvalidQuery,
        };
        Self::problem(kind, fault.to_string())
    }
}

impl Context {
    /// Whether Shopify signed a query, and lately.
    pub async fn verify_query(&self, query: &Query) -> Result<(), BrowserError> {
        let secrets = self.shopify_secrets().await?;
        Ok(query.verify(self.now(), |message, tag| secrets.signed(message, tag))?)
    }

    /// Where a browser is sent to, in a shop's admin: `path` begins with a slash.
    pub fn shop_address(&self, shop: &ShopDomain, path: &str) -> Result<String, HostError> {
        let endpoint = self.settings.get(Setting::ShopifyEndpoint)?;
        Ok(format!("{}{path}", endpoint.replace("{shop}", shop.as_str())))
    }

    /// 256 bits that nobody can guess.
    pub fn random(&self) -> Result<[u8; 32], HostError> {
        let mut bytes = [0; 32];
        self.connections.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }
}
