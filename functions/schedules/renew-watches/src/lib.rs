//! Every hour: watches of mailboxes are renewed long before they lapse, the one that ends first before the others, and mailboxes
//! are read of which nothing was heard, for Gmail drops notices. Reads the list of mailboxes and never scans; what is asked of
//! Google is `sync-mailbox`'s.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_core::time::{DAY, HOUR, Timestamp};
use storeward_host::{Context, Function, HostError, Queue, Setting, SyncOrder, SyncWhy, schedule};
use storeward_store::MailboxRoute;

/// Messages that are sent side by side.
const AT_ONCE: usize = 8;

/// How long before its end a watch is renewed. A watch lasts seven days, and Gmail advises to renew it every day.
const RENEW_BEFORE: Duration = Duration::from_hours(6 * 24);

/// How long nothing is heard of a mailbox before it is read unasked.
const SILENCE: Duration = HOUR;

/// How long a watch can have ended for without being called out again.
const CALLED_OUT: Duration = DAY;

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/renew-watches",
    needs: &[&Setting::STORE, &[Setting::SyncMailboxQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/renew-watches", handle)),
};

/// Sends a message for each mailbox that something is to be done about, and says how many there were. A watch that has lapsed is
/// called out, on which an alarm stands.
///
/// # Errors
/// What the store or the queue failed with: the next hour looks at every mailbox again.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let (mut routes, now) = (ctx.store().await?.all_mailbox_routes().await?, ctx.now());
    // What is not watched at all comes first.
    routes.sort_by_key(|route| route.watched_until);
    for route in routes.iter().filter(|route| has_lapsed(route, now)) {
        tracing::error!(mailbox = %route.mailbox, tenant = %route.tenant, "the watch of a mailbox has lapsed");
    }
    let orders: Vec<SyncOrder> = routes
        .into_iter()
        .filter_map(|route| {
            let why = wanted(&route, now)?;
            Some(SyncOrder { tenant: route.tenant, mailbox: route.mailbox, why })
        })
        .collect();
    let count = orders.len();
    // In their order: `buffered` begins them so.
    stream::iter(orders)
        .map(|order| async move { ctx.send(Queue::SyncMailbox, &order, Duration::ZERO).await })
        .buffered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(count)
}

/// Whether a watch ended and was not renewed. One that is not renewed for days is called out no more: what its alarm can bring
/// about, it did, and a merchant's mailbox can stay as it is for good.
fn has_lapsed(route: &MailboxRoute, now: Timestamp) -> bool {
    route.watched_until.is_some_and(|until| until <= now && now < until + CALLED_OUT)
}

/// What is to be done about a mailbox. Renewing reads it too.
fn wanted(route: &MailboxRoute, now: Timestamp) -> Option<SyncWhy> {
    if route.watched_until.is_none_or(|until| until < now + RENEW_BEFORE) {
        return Some(SyncWhy::Renew);
    }
    let silent = route.read_at.is_none_or(|read| read + SILENCE <= now);
    silent.then_some(SyncWhy::Silent)
}
