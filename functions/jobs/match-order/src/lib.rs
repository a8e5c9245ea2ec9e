//! Looks for duplicates of one order: puts it into a case with those it agrees with, and marks the orders in the
//! shop. What agreeing means is `core::matching`'s; how a case stays one is the store's.

use std::collections::BTreeSet;

use storeward_clients::ClientError;
use storeward_core::matching::DEFAULT_WINDOW;
use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, JobError, Setting, job};
use storeward_store::{FlagState, Installation, RecordRef, Task};

/// The tag that orders of a case get in the shop.
pub const TAG: &str = "possible-duplicate";

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/match-order",
    needs: &[&Setting::STORE, &Setting::ADMIN, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/match-order", handle)),
};

/// Works on one order. Doing it again finds the order in its case and changes nothing.
///
/// # Errors
/// Retry while something is unavailable or the order is not written yet; drop when it is gone for good.
pub async fn handle(ctx: &Context, task: Task, _deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(task.tenant()).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    if !installation.is_installed() {
        return Err(JobError::Drop("the app was uninstalled"));
    }
    let Some(record) = store.order(&installation, task.record()).await? else {
        if let Task::Delivered(work) = &task {
            if work.may_still_be_written(ctx.now()) {
                return Err(JobError::Retry("the order is not written yet".to_owned()));
            }
            // Refused, erased or expired. A delivery that was accepted is done with it.
            store.complete(work).await?;
        }
        return Err(JobError::Drop("there is no such order"));
    };
    let mut candidates = store.candidates(&installation, &record, DEFAULT_WINDOW).await?;
    if !candidates.is_empty() {
        candidates = store.not_excepted(&installation, &record, candidates).await?;
    }
    if !candidates.is_empty() {
        let reference = record.reference.clone();
        if let Some(joined) = store.join_case(&installation, record, candidates).await? {
            tracing::info!(case = %joined.case, opened = joined.opened, joined = joined.newcomers.len(), "case");
            // The order itself also when it had joined before: that try may have ended before anyone was told.
            let members: BTreeSet<RecordRef> = joined.newcomers.into_iter().chain([reference]).collect();
            tell(ctx, &installation, &members).await?;
        }
    }
    if let Task::Delivered(work) = &task {
        store.complete(work).await?;
    }
    Ok(())
}

/// Tags the orders in the shop. Tagging twice is harmless, so it is only remembered once all of it is done. Without
/// access there is nobody to tell: the merchant sees the case in the app.
async fn tell(
    ctx: &Context,
    installation: &Installation,
    members: &BTreeSet<RecordRef>,
) -> Result<(), JobError> {
    let Some(access) = ctx.admin_access(installation).await? else { return Ok(()) };
    let (store, shopify) = (ctx.store().await?, ctx.shopify().await?);
    let mut told = Vec::new();
    for member in members {
        let Some(record) = store.order(installation, member).await? else { continue };
        if record.flag != FlagState::Pending {
            continue;
        }
        match shopify.tags_add(&access.domain, access.token.expose(), &record.order.gid(), &[TAG]).await {
            Ok(()) => {}
            Err(error @ (ClientError::Unauthorized | ClientError::Rejected(_))) => {
                // The case stands without the tag.
                tracing::warn!(order = %member, %error, "not tagged");
            }
            Err(error) => return Err(JobError::Retry(error.to_string())),
        }
        told.push(record.reference);
    }
    if !told.is_empty() {
        store.flagged(installation, &told).await?;
    }
    Ok(())
}
