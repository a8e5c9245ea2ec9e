//! Rectifies a customer's account in every order that names it. Runs as long as Lambda lets it and then asks for another
//! run.

use std::time::Duration;

use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::{Context, Function, JobError, Queue, Setting, job};
use storeward_store::{Rectified, Work};

/// What is kept of the time for the last order and the message to the next run.
const RESERVE: Duration = MINUTE;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/rectify-subject",
    needs: &[&Setting::STORE, &[Setting::RectifySubjectQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/rectify-subject", handle)),
};

/// Carries one rectification to its end, or as far as time allows. What was rectified is not touched again.
///
/// # Errors
/// Retry while something is unavailable or the rectification is not written yet; drop when it is gone for good.
pub async fn handle(ctx: &Context, work: Work, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&work.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    let time_left = || ctx.now() + RESERVE < deadline;
    match store.rectify(&installation, &work, &time_left).await? {
        Rectified::Done => Ok(()),
        Rectified::Unfinished => {
            ctx.send(Queue::RectifySubject, &work, Duration::ZERO).await?;
            Ok(())
        }
        Rectified::Unknown if work.may_still_be_written(ctx.now()) => {
            Err(JobError::Retry("the rectification is not written yet".to_owned()))
        }
        Rectified::Unknown => {
            store.complete(&work).await?;
            Err(JobError::Drop("there is no such rectification"))
        }
    }
}
