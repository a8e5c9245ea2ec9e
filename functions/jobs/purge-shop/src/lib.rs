//! Purges an uninstalled shop. Runs as long as Lambda lets it and then asks for another run.

use std::time::Duration;

use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::{Context, Function, JobError, PurgeOrder, Queue, Setting, job};
use storeward_store::{PurgeReport, What};

/// What is kept of the time for the last requests and the message to the next run.
const RESERVE: Duration = MINUTE;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/purge-shop",
    needs: &[&Setting::STORE, &[Setting::PurgeShopQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/purge-shop", handle)),
};

/// Purges one installation, or goes on with it.
///
/// # Errors
/// Retry while something is unavailable; drop when there is nothing to purge, or the app is installed.
pub async fn handle(ctx: &Context, order: PurgeOrder, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let time_left = || ctx.now() + RESERVE < deadline;
    match store.purge(&order.tenant, &order.why, &time_left).await? {
        PurgeReport::NothingLeft => {
            tracing::info!(tenant = %order.tenant, "purged");
            Ok(())
        }
        PurgeReport::Unfinished => {
            ctx.send(Queue::PurgeShop, &order, Duration::ZERO).await?;
            Ok(())
        }
        PurgeReport::TooEarly(wait) => {
            ctx.send(Queue::PurgeShop, &order, wait).await?;
            Ok(())
        }
        PurgeReport::Gone => Err(JobError::Drop("the installation was purged before")),
        PurgeReport::Installed => {
            let tenant = &order.tenant;
            store
                .note(&tenant.shop, Some(tenant.generation), What::Refused, "purge of an installed shop")
                .await?;
            Err(JobError::Drop("the app is installed"))
        }
    }
}
