//! Goes through what an installation has stored when a window became shorter. Runs as long as Lambda lets it and then asks
//! for another run.

use std::time::Duration;

use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::{Context, Function, JobError, Queue, RetentionOrder, Setting, job};
use storeward_store::{Applied, DueRow};

/// What is kept of the time for the last requests and the message to the next run.
const RESERVE: Duration = MINUTE;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/apply-retention",
    needs: &[&Setting::STORE, &[Setting::ApplyRetentionQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/apply-retention", handle)),
};

/// Deletes what is past its window and lets everything else end with it. What was done is not done again.
///
/// # Errors
/// Retry while something is unavailable.
pub async fn handle(ctx: &Context, order: RetentionOrder, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let time_left = || ctx.now() + RESERVE < deadline;
    if let Applied::Unfinished(from) = store.apply_retention(&order.tenant, order.from, &time_left).await? {
        ctx.send(Queue::ApplyRetention, &RetentionOrder { from, ..order }, Duration::ZERO).await?;
        return Ok(());
    }
    if let Some(at) = order.due_at {
        store.due_done(&DueRow::of_retention(&order.tenant, at)).await?;
    }
    Ok(())
}
