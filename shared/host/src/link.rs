//! The front of what anyone may fetch who has a link: a document to save, never to cache, frame or run. Whether the link
//! counts is the store's; nothing here tells one that does not from one that never was.

use serde_json::{Value, json};
use storeward_core::personal::Personal;
use storeward_store::{Acting, By, Followed, acting};

use crate::api::{Accessed, answer_logged};
use crate::asked::ApiEvent;
use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};

/// What is fetched.
#[derive(Debug)]
pub struct Download {
    /// What the link leads to.
    pub of: Followed,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The name it is saved under.
    pub file_name: String,
    /// `Content-Security-Policy`, for whoever opens it without saving it.
    pub policy: &'static str,
    /// What is in it.
    pub text: Personal<String>,
}

impl Download {
    fn answer(&self) -> Value {
        let mut answered = answer(200, self.content_type, &());
        answered["body"] = json!(self.text.expose());
        let headers = &mut answered["headers"];
        headers["content-security-policy"] = json!(self.policy);
        headers["content-disposition"] = json!(format!("attachment; filename=\"{}\"", self.file_name));
        answered
    }
}

/// Runs a function that answers a link: `handle` is given the `{token}` of the path. Nothing is answered before it stands in
/// the access log of the shop, and what is answered has been given.
///
/// # Errors
/// When the event is not one of an HTTP API; everything else becomes an answer.
pub async fn download<'a, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    function: &'static str,
    route: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    F: FnOnce(&'a Context, String) -> Fut,
    Fut: Future<Output = Result<Option<Download>, HostError>>,
{
    let event: ApiEvent = serde_json::from_value(invocation.event)
        .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API"))?;
    let (origin, token) = (event.origin(), event.path("token").to_owned());
    // Whoever has the link: the merchant who asked for it, or whom the merchant gave it to. Which link is not known yet.
    let who = origin.acting(ctx, By::Link(String::new())).await;
    let mut answered = match acting(who.clone(), handle(ctx, token)).await {
        Ok(Some(download)) => {
            let who = Acting { by: By::Link(download.of.request.id().to_owned()), ..who };
            let accessed = Accessed { by: &who.by, role: None, route, origin: &origin };
            let answered = answer_logged(ctx, &download.of.tenant.shop, accessed, download.answer()).await;
            if answered["statusCode"] == 200 {
                let gave = acting(who, gave(ctx, &download.of)).await;
                gave.map_or_else(|error| failed(function, &error), |()| answered)
            } else {
                answered
            }
        }
        Ok(None) => {
            Problem::new(ProblemKind::NotFound, "make another link: they work for a few minutes").answer()
        }
        Err(error) => failed(function, &error),
    };
    answered["headers"]["referrer-policy"] = json!("no-referrer");
    answered["headers"]["x-robots-tag"] = json!("noindex");
    // The same in the function's log. The link itself is in no log.
    tracing::info!(function, personal = true, status = answered["statusCode"].as_u64(), "download");
    Ok(answered)
}

async fn gave(ctx: &Context, followed: &Followed) -> Result<(), HostError> {
    Ok(ctx.store().await?.gave(followed).await?)
}

fn failed(function: &'static str, error: &HostError) -> Value {
    tracing::error!(function, %error, "a download failed");
    Problem::new(ProblemKind::Unavailable, "try again in a minute").answer()
}
