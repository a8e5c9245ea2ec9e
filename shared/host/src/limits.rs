//! Lifting a limit on the use of a person's data, with what was missed meanwhile: the store lifts, and the queues are told
//! what to look at again.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_core::limits::Limit;
use storeward_core::normalize::Identifier;
use storeward_store::{Installation, Lifted, Recheck, RecordRef};

use crate::context::{Context, HostError, Queue};
use crate::job::ReconcileOrder;

/// Messages that are sent side by side.
const AT_ONCE: usize = 8;

/// Lifts a limit. What Shopify told while the person's data was restricted is asked for again, and the person's orders
/// are looked at again. One that was interrupted is completed by doing it again.
///
/// The function needs the settings of both queues, `match-order` and `reconcile-shop`.
///
/// # Errors
/// What the store or a queue failed with.
pub async fn lift_limit(
    ctx: &Context,
    installation: &Installation,
    identifiers: &[Identifier],
    limit: Limit,
    request: &RecordRef,
) -> Result<Lifted, HostError> {
    let (store, tenant) = (ctx.store().await?, &installation.tenant);
    let lifted = store.lift_limit(installation, identifiers, limit, request).await?;
    if let Some(from) = lifted.catch_up_from {
        let order = ReconcileOrder { tenant: tenant.clone(), from: Some(from) };
        ctx.send(Queue::ReconcileShop, &order, Duration::ZERO).await?;
    }
    stream::iter(&lifted.orders)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |record| async move {
            let again = Recheck { tenant: tenant.clone(), record: record.clone() };
            ctx.send(Queue::MatchOrder, &again, Duration::ZERO).await
        })
        .await?;
    store.lifting_done(installation, identifiers).await?;
    Ok(lifted)
}
