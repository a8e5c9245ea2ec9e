//! What Pub/Sub pushes when a mailbox changed: a reference goes to the queue of whoever reads it. Nothing is stored, and whose
//! mailbox it is stands in no message and no log.

use std::time::Duration;

use futures::future::try_join_all;
use storeward_core::push::MailboxNotice;
use storeward_host::{Context, Function, HostError, Pushed, Queue, Setting, SyncOrder, SyncWhy, push};

/// The function.
pub const FUNCTION: Function = Function {
    name: "pushes/gmail-push",
    needs: &[
        &Setting::STORE,
        &[
            Setting::PushAudience,
            Setting::PushServiceAccount,
            Setting::GoogleKeysUrl,
            Setting::SyncMailboxQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(push(ctx, invocation, "pushes/gmail-push", handle)),
};

/// Has the mailbox read, for each shop that connected it.
///
/// # Errors
/// What the store or the queue failed with: Pub/Sub sends the notice again.
pub async fn handle(ctx: &Context, notice: MailboxNotice) -> Result<Pushed, HostError> {
    let routes = ctx.store().await?.mailbox_routes(notice.address.expose()).await?;
    if routes.is_empty() {
        return Ok(Pushed::UnknownMailbox);
    }
    let why = SyncWhy::Pushed { history_id: notice.history_id.0 };
    let orders: Vec<SyncOrder> = routes
        .into_iter()
        .map(|route| SyncOrder { tenant: route.tenant, mailbox: route.mailbox, why })
        .collect();
    try_join_all(orders.iter().map(|order| ctx.send(Queue::SyncMailbox, order, Duration::ZERO))).await?;
    Ok(Pushed::Queued(orders.len()))
}
