//! Erases a person, in two passes: at once, and again when no writer from before can still be running. Requests that are
//! carried out without a record of their own come here too: restrictions, objections and their ends.

use std::time::Duration;

use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, JobError, Queue, Setting, job, lift_limit};
use storeward_store::{SecondPass, Work};

/// What is kept of the time for the page under way, which takes seconds, and the message to the next run.
const RESERVE: Duration = Duration::from_secs(15);

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/redact-subject",
    needs: &[
        &Setting::STORE,
        &[
            Setting::RedactSubjectQueueUrl,
            Setting::MatchOrderQueueUrl,
            Setting::ReconcileShopQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/redact-subject", handle)),
};

/// Carries one request a pass further.
///
/// # Errors
/// Retry while something is unavailable or the request is not written yet; drop when it is gone for good.
pub async fn handle(ctx: &Context, work: Work, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&work.tenant).await? else {
        return Err(JobError::Drop("the installation was purged, and the person with it"));
    };
    if let Some((limit, put_on, person)) = store.to_carry_out(&installation, &work.record).await? {
        let orders = if put_on {
            let limiting = store.limit_subject(&installation, &person, limit, &work.record).await?;
            limiting.map_or(0, |limiting| limiting.orders)
        } else {
            let lifted = lift_limit(ctx, &installation, &person, limit, &work.record).await?;
            u64::try_from(lifted.orders.len()).unwrap_or(u64::MAX)
        };
        store.carried_out(&installation, &work, orders).await?;
        return Ok(());
    }
    let time_left = || ctx.now() + RESERVE < deadline;
    match store.erase_subject(&installation, &work, &time_left).await? {
        Some(SecondPass::After(delay, next)) => {
            // Should this be lost, the due row that was written with the first pass brings it back.
            ctx.send(Queue::RedactSubject, &next, delay).await?;
            Ok(())
        }
        Some(SecondPass::Done) => Ok(()),
        None if work.may_still_be_written(ctx.now()) => {
            Err(JobError::Retry("the request is not written yet".to_owned()))
        }
        None => {
            store.complete(&work).await?;
            Err(JobError::Drop("there is no such request, or it is done"))
        }
    }
}
