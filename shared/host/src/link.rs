//! The front of what anyone may fetch who has a link: a document to save, never to cache, frame or run. Whether the link
//! counts is the store's; nothing here tells one that does not from one that never was.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use storeward_core::personal::Personal;
use storeward_store::{Acting, By, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};

/// What is fetched.
#[derive(Debug)]
pub struct Download {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The name it is saved under.
    pub file_name: &'static str,
    /// `Content-Security-Policy`, for whoever opens it without saving it.
    pub policy: &'static str,
    /// What is in it.
    pub text: Personal<String>,
}

/// What is used of an HTTP API's event (payload format 2.0).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinkEvent {
    #[serde(default)]
    path_parameters: HashMap<String, String>,
    #[serde(default)]
    request_context: LinkContext,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinkContext {
    #[serde(default)]
    request_id: Option<String>,
}

/// Runs a function that answers a link: `handle` is given the `{token}` of the path.
///
/// # Errors
/// When the event is not one of an HTTP API; everything else becomes an answer.
pub async fn download<'a, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    function: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    F: FnOnce(&'a Context, String) -> Fut,
    Fut: Future<Output = Result<Option<Download>, HostError>>,
{
    let mut event: LinkEvent = serde_json::from_value(invocation.event)
        .map_err(|_| InvokeError::NotMyEvent("a request to an HTTP API"))?;
    let token = event.path_parameters.remove("token").unwrap_or_default();
    // Whoever has the link: the merchant who asked for it, or whom the merchant gave it to.
    let who = Acting::new(By::Merchant(String::new()), event.request_context.request_id.as_deref());
    let mut answered = match acting(who, handle(ctx, token)).await {
        Ok(Some(download)) => {
            let mut answered = answer(200, download.content_type, &());
            answered["body"] = json!(download.text.expose());
            let headers = &mut answered["headers"];
            headers["content-security-policy"] = json!(download.policy);
            headers["content-disposition"] =
                json!(format!("attachment; filename=\"{}\"", download.file_name));
            answered
        }
        Ok(None) => {
            Problem::new(ProblemKind::NotFound, "make another link: they work for a few minutes").answer()
        }
        Err(error) => {
            tracing::error!(function, %error, "a download failed");
            Problem::new(ProblemKind::Unavailable, "try again in a minute").answer()
        }
    };
    answered["headers"]["referrer-policy"] = json!("no-referrer");
    answered["headers"]["x-robots-tag"] = json!("noindex");
    // The access log: that somebody with a link read what it leads to. The link itself is in no log.
    tracing::info!(function, personal = true, status = answered["statusCode"].as_u64(), "download");
    Ok(answered)
}
