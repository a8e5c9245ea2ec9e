//! The front of what schedules start: the event says nothing but that it is time.

use serde_json::{Value, json};
use storeward_store::{Acting, By, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};

/// Runs a scheduled function; what it counted is its answer.
///
/// # Errors
/// When the handler failed: the schedule tries again.
pub async fn schedule<'a, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    name: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    F: FnOnce(&'a Context) -> Fut,
    Fut: Future<Output = Result<usize, HostError>>,
{
    let who = Acting::new(By::system(name), invocation.event["id"].as_str());
    let acted_on = acting(who, handle(ctx)).await?;
    tracing::info!(function = name, acted_on, "swept");
    Ok(json!({ "acted_on": acted_on }))
}
