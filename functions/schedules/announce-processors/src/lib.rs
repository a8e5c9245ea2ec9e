//! Every day: whoever was not told of a change of sub-processors is told. What changes is the register's, telling is
//! `notify-merchant`'s; a merchant who could not be told is tried again the next day.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, HostError, Notice, Queue, Setting, schedule};
use storeward_store::{Store, StoreError};

/// Installations that are looked at side by side.
const AT_ONCE: usize = 8;

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/announce-processors",
    needs: &[&Setting::STORE, &[Setting::NotifyMerchantQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/announce-processors", handle)),
};

/// Sends a message for every installation and announcement that it was not told of, and says how many there were.
/// Without an announcement nobody is looked at.
///
/// # Errors
/// What the store or the queue failed with: the next day finds who was left out.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let announcements = ctx.register().announcements(ctx.now());
    if announcements.is_empty() {
        return Ok(0);
    }
    let store = ctx.store().await?;
    let announcements = &announcements;
    let sent: Vec<usize> = stream::iter(store.installations().await?)
        .map(|tenant| async move { tell(ctx, store, &tenant, announcements).await })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(sent.into_iter().sum())
}

async fn tell(
    ctx: &Context,
    store: &Store,
    tenant: &Tenant,
    announcements: &BTreeSet<Timestamp>,
) -> Result<usize, HostError> {
    let since = tenant.generation.since();
    let concern = |announced: &Timestamp| !ctx.register().announced(*announced, since).is_empty();
    let concerning: BTreeSet<Timestamp> = announcements.iter().copied().filter(concern).collect();
    if concerning.is_empty() {
        return Ok(0);
    }
    let untold = store.untold(tenant, &concerning).await?;
    for announced in &untold {
        let notice = Notice::of_processors(tenant, *announced)
            .map_err(|_| StoreError::Corrupt("an entry of the directory"))?;
        ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await?;
    }
    Ok(untold.len())
}
