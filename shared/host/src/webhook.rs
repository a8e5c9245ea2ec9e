//! The front of Shopify's webhooks: who is calling, for which shop, with what; nothing is looked up or written
//! before that is certain. Statuses as Shopify documents them: 405, 400, 401; anything but 2xx is tried again.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use storeward_core::order::Order;
use storeward_core::shop::{ShopDomain, ShopId};
use storeward_core::time::Timestamp;
use storeward_core::webhook::{
    AppScopesUpdate, AppUninstalled, CustomersDataRequest, CustomersRedact, CustomersUpdate, ShopRedact,
    ShopUpdate,
};
use storeward_store::{By, Delivery, Store, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};
use crate::url_event::{BodyFault, UrlEvent};

/// The largest body that is read, in bytes. An order of 500 lines with properties stays under a third of it.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// Shopify waits 5 s in all: by then it must have an answer, and this leaves time for it to arrive.
const BUDGET: Duration = Duration::from_millis(4500);

/// A body of a topic.
pub trait Body: DeserializeOwned + Send {
    /// The shop the body itself names, where its topic says one: only the body is signed.
    fn shop(&self) -> Option<&str> {
        None
    }
}

impl Body for Order {}

impl Body for AppUninstalled {
    fn shop(&self) -> Option<&str> {
        self.myshopify_domain.as_deref()
    }
}

impl Body for AppScopesUpdate {}

impl Body for ShopUpdate {
    fn shop(&self) -> Option<&str> {
        Some(&self.myshopify_domain)
    }
}

impl Body for CustomersRedact {
    fn shop(&self) -> Option<&str> {
        Some(&self.shop_domain)
    }
}

impl Body for CustomersDataRequest {
    fn shop(&self) -> Option<&str> {
        Some(&self.shop_domain)
    }
}

impl Body for CustomersUpdate {}

impl Body for ShopRedact {
    fn shop(&self) -> Option<&str> {
        Some(&self.shop_domain)
    }
}

/// A delivery whose sender and shop are certain.
#[derive(Debug)]
pub struct Webhook<B> {
    /// The shop, blinded.
    pub shop: ShopId,
    /// Which delivery.
    pub delivery: Delivery,
    /// When Shopify says that it happened. Not signed: it may make a handler more careful, never less.
    pub triggered_at: Option<Timestamp>,
    /// The body.
    pub body: B,
}

/// Why a genuine delivery was acknowledged and not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBecause {
    /// The person it is about was erased after it happened.
    Erased,
    /// A person it is about restricted or objects to the use of their data.
    Limited,
    /// The app was uninstalled.
    Uninstalled,
    /// The app is installed, and this would destroy what it has.
    Installed,
    /// It happened before the app was installed (again).
    BeforeInstallation,
    /// Something later was told before.
    Stale,
}

/// What a webhook's handler answers; all of them are 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "because", rename_all = "snake_case")]
pub enum Answer {
    /// It was stored, and its work is queued.
    Accepted,
    /// It was here before.
    Duplicate,
    /// There was nothing to do for it.
    NothingToDo,
    /// It was not obeyed.
    Refused(RefusedBecause),
}

/// Why a webhook's handler failed.
#[derive(Debug)]
pub enum WebhookError {
    /// The caller should know.
    Problem(Problem),
    /// It is the host's matter; the caller is asked to try again.
    Host(HostError),
}

impl WebhookError {
    /// The signed body is about another shop than the headers say.
    #[must_use]
    pub fn shop_mismatch() -> Self {
        Self::Problem(Problem::new(ProblemKind::ShopMismatch, "the signed body is about another shop"))
    }
}

impl<E: Into<HostError>> From<E> for WebhookError {
    fn from(error: E) -> Self {
        Self::Host(error.into())
    }
}

/// A Shopify header under its present name or the one of the next generation of events.
fn header<'a>(event: &'a UrlEvent, name: &str) -> Result<&'a str, Problem> {
    event
        .header(&format!("x-shopify-{name}"))
        .or_else(|| event.header(&format!("shopify-{name}")))
        .filter(|value| !value.is_empty() && value.len() <= 512)
        .ok_or_else(|| Problem::new(ProblemKind::MissingHeader, format!("send X-Shopify-{name}")))
}

/// The body's bytes as they were signed.
fn signed_bytes(event: &UrlEvent) -> Result<Vec<u8>, Problem> {
    event.bytes(MAX_BODY).map_err(|fault| match fault {
        BodyFault::TooLarge => {
            Problem::new(ProblemKind::BodyTooLarge, format!("send at most {MAX_BODY} bytes"))
        }
        BodyFault::NotBase64 => Problem::new(ProblemKind::MalformedBody, "the event's body is not base64"),
    })
}

/// Runs a webhook's function: checks the caller, reads the body, and turns what the handler says into an answer.
///
/// # Errors
/// When the event is not one of a function URL; everything else becomes an answer.
pub async fn webhook<'a, B, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    topic: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    B: Body,
    F: FnOnce(&'a Context, Webhook<B>) -> Fut,
    Fut: Future<Output = Result<Answer, WebhookError>>,
{
    let event = UrlEvent::read(invocation.event)?;
    let work = async {
        let webhook = verify(ctx, &event, topic).await?;
        let shop = webhook.shop.clone();
        let who = event.origin().acting(ctx, By::Shopify).await;
        let answer = acting(who, handle(ctx, webhook)).await?;
        tracing::info!(topic, %shop, ?answer, "webhook");
        Ok::<_, WebhookError>(answer)
    };
    let outcome = tokio::time::timeout(BUDGET, work).await.unwrap_or_else(|_| {
        Err(WebhookError::Host(HostError::Aws { operation: "webhook", code: "out of time".to_owned() }))
    });
    Ok(match outcome {
        Ok(said) => answer(200, "application/json", &said),
        Err(WebhookError::Problem(problem)) => {
            tracing::warn!(topic, problem = problem.kind.id(), "webhook answered with a problem");
            problem.answer()
        }
        Err(WebhookError::Host(error)) => {
            tracing::error!(topic, %error, "webhook failed");
            Problem::new(ProblemKind::Unavailable, "send it again").answer()
        }
    })
}

async fn verify<B: Body>(
    ctx: &Context,
    event: &UrlEvent,
    expected_topic: &'static str,
) -> Result<Webhook<B>, WebhookError> {
    let problem = |kind, detail: &str| WebhookError::Problem(Problem::new(kind, detail));
    if event.method() != "POST" {
        return Err(problem(ProblemKind::MethodNotAllowed, "webhooks are sent by POST"));
    }
    let header = |name| header(event, name).map_err(WebhookError::Problem);
    let (signature, topic, shop) = (header("hmac-sha256")?, header("topic")?, header("shop-domain")?);
    let webhook_id = header("webhook-id")?;
    let shop: ShopDomain = shop.parse().map_err(|_| {
        problem(ProblemKind::MissingHeader, "X-Shopify-Shop-Domain is no shop's permanent domain")
    })?;
    let bytes = signed_bytes(event).map_err(WebhookError::Problem)?;
    let (secrets, store): (_, &Store) = futures::try_join!(ctx.shopify_secrets(), ctx.store())?;
    if !secrets.verify(&bytes, signature) {
        return Err(problem(ProblemKind::BadSignature, "sign the raw body with the app's client secret"));
    }
    if topic != expected_topic {
        return Err(problem(ProblemKind::WrongTopic, "point the subscription of that topic to its own URL"));
    }
    // JSON is UTF-8; the parser alone would not look at what it skips.
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| problem(ProblemKind::MalformedBody, "send JSON, which is UTF-8"))?;
    let body: B = serde_json::from_str(text)
        // Where it went wrong, and not what stood there.
        .map_err(|e| {
            problem(ProblemKind::MalformedBody, &format!("line {}, column {}", e.line(), e.column()))
        })?;
    if body.shop().is_some_and(|named| named.parse() != Ok(shop.clone())) {
        return Err(WebhookError::shop_mismatch());
    }
    Ok(Webhook {
        shop: store.shop_id(&shop),
        delivery: Delivery { webhook_id: webhook_id.to_owned(), topic: topic.to_owned() },
        triggered_at: header("triggered-at").ok().and_then(Timestamp::parse_rfc3339),
        body,
    })
}
