//! Puts together everything that is stored about a person who asked. Giving it to the merchant is not done here.

use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, JobError, Setting, job};
use storeward_store::Work;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/export-subject",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/export-subject", handle)),
};

/// Answers one request. Doing it again finds the answer and changes nothing.
///
/// # Errors
/// Retry while something is unavailable or the request is not written yet; drop when it is gone for good.
pub async fn handle(ctx: &Context, work: Work, _deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&work.tenant).await? else {
        return Err(JobError::Drop("the installation was purged, and nothing is stored"));
    };
    if store.make_export(&installation, &work).await? {
        return Ok(());
    }
    if work.may_still_be_written(ctx.now()) {
        return Err(JobError::Retry("the request is not written yet".to_owned()));
    }
    // Erased meanwhile, with the person: a delivery that was accepted is done with it.
    store.complete(&work).await?;
    Err(JobError::Drop("there is no such request"))
}
