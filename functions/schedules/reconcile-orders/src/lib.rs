//! Every hour: each shop is compared with what Shopify has, so that a webhook that never came is made up for. Goes through
//! the list of installations and never scans; the comparing is `reconcile-shop`'s.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_host::{Context, Function, HostError, Queue, ReconcileOrder, Setting, schedule};

/// Messages that are sent side by side.
const AT_ONCE: usize = 8;

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/reconcile-orders",
    needs: &[&Setting::STORE, &[Setting::ReconcileShopQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/reconcile-orders", handle)),
};

/// Sends a message for every installation and says how many there were. Every hour for every shop: a quiet shop and one
/// whose webhooks do not arrive look the same from here, and asking costs one query.
///
/// # Errors
/// What the store or the queue failed with: the next hour begins where the last comparison of each shop ended.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let tenants = ctx.store().await?.installations().await?;
    let count = tenants.len();
    stream::iter(tenants)
        .map(|tenant| async move {
            let order = ReconcileOrder { tenant, from: None };
            ctx.send(Queue::ReconcileShop, &order, Duration::ZERO).await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(count)
}
