//! Leaving a mailbox alone: kept in the store, so that every instance heeds it, and longer each time it fails.

use std::time::Duration;

use storeward_core::time::{HOUR, Timestamp};
use storeward_host::{Context, JobError, Queue, SyncOrder, SyncWhy};

use crate::Run;

/// The first pause; each failure after it doubles it.
const FIRST: Duration = Duration::from_secs(15);

/// The longest pause.
const LONGEST: Duration = HOUR;

/// Leaves the mailbox alone for at least `told`, and gives how long that is.
pub(crate) async fn begin(run: &Run<'_>, told: Duration) -> Result<Duration, JobError> {
    let [random, ..] = run.ctx.random()?;
    let pause = pause(run.mailbox.failures, told, random);
    let until = run.ctx.now() + pause;
    run.store.leave_mailbox_alone(run.installation, run.mailbox, until).await?;
    tracing::warn!(
        mailbox = %run.mailbox.reference,
        failures = run.mailbox.failures + 1,
        seconds = pause.as_secs(),
        "a mailbox is left alone"
    );
    Ok(pause)
}

/// How long, after so many failures: what the other side says, or longer, and a part more that differs from mailbox to mailbox, so
/// that those that failed together do not come back together.
fn pause(failures: u32, told: Duration, random: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.min(12)).unwrap_or(u32::MAX));
    let least = told.max(doubled);
    least.saturating_add(least / 512 * u32::from(random)).min(LONGEST)
}

/// A message about a mailbox that is left alone: who began the pause sent one for its end, so most others are needless.
pub(crate) async fn still(ctx: &Context, order: &SyncOrder, until: Timestamp) -> Result<(), JobError> {
    match order.why {
        SyncWhy::Again | SyncWhy::Connected => {
            ctx.send(Queue::SyncMailbox, order, until.since(ctx.now())).await?;
            Ok(())
        }
        _ => Err(JobError::Drop("the mailbox is left alone for now")),
    }
}
