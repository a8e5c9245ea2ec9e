//! Looks for duplicates of one order and puts it into a case with those it agrees with. What agreeing means is
//! `core::matching`'s; how a case stays one is the store's; telling the merchant is `notify-merchant`'s.

use std::time::Duration;

use storeward_core::instructions::Activity;
use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, Happened, JobError, Notice, Queue, Setting, job};
use storeward_store::{RecordRef, Task};

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/match-order",
    needs: &[&Setting::STORE, &[Setting::NotifyMerchantQueueUrl, Setting::Log]],
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
    if let Some(case) = record.case.as_ref().filter(|_| !record.order.counts()) {
        // Cancelled: what was held because of it may not have to wait any more.
        notify(ctx, &task, case.clone(), Happened::Decided).await?;
        if let Task::Delivered(work) = &task {
            store.complete(work).await?;
        }
        return Ok(());
    }
    let settings = installation.settings()?;
    if !settings.allow(Activity::DetectDuplicates) {
        if let Task::Delivered(work) = &task {
            store.complete(work).await?;
        }
        return Err(JobError::Drop("the merchant switched the duplicate guard off"));
    }
    let mut candidates = store.candidates(&installation, &record, &settings).await?;
    if !candidates.is_empty() {
        candidates = store.not_excepted(&installation, &record, candidates).await?;
    }
    if !candidates.is_empty() {
        let reference = record.reference.clone();
        if let Some(joined) = store.join_case(&installation, record, candidates).await? {
            tracing::info!(case = %joined.case, opened = joined.opened, joined = joined.newcomers.len(), "case");
            // Also when it had joined before: that try may have ended before anyone was told.
            let newcomers = if joined.newcomers.is_empty() { vec![reference] } else { joined.newcomers };
            notify(ctx, &task, joined.case, Happened::Opened { newcomers }).await?;
        }
    }
    if let Task::Delivered(work) = &task {
        store.complete(work).await?;
    }
    Ok(())
}

async fn notify(ctx: &Context, task: &Task, case: RecordRef, what: Happened) -> Result<(), JobError> {
    let notice = Notice { tenant: task.tenant().clone(), case, what };
    Ok(ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await?)
}
