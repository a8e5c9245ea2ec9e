//! Every day: the day before yesterday's or yesterday's entries of the ledger are sealed, signed and put where nobody can
//! rewrite them, and reviews that are late are told of. What a seal says is `core::ledger`'s; `verify-ledger` holds the
//! table against it.

use std::time::Duration;

use storeward_core::ledger::Hash;
use storeward_core::ledger::seal::{Day, NOTHING, Standing, day_after};
use storeward_core::reviews::Review;
use storeward_core::time::{DAY, HOUR, Timestamp};
use storeward_host::{Context, Function, HostError, Put, Setting, schedule};
use storeward_store::Store;

/// How long after its end a day is sealed: whoever began to write before midnight is done by then, and the clocks of
/// any two instances agree much better.
const GRACE: Duration = HOUR.saturating_mul(3);

/// How many days back the last sealed one is looked for. Only the first run of a deployment looks that far.
const LOOK_BACK: u32 = 400;

/// How many days back the first run looks for entries from before it was there.
const FIRST_DAYS: u32 = 31;

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/seal-ledger",
    needs: &[&Setting::STORE, &[Setting::RootsBucket, Setting::RootsKey, Setting::Log]],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/seal-ledger", handle)),
};

/// Seals every day that is over and not sealed, in order, and says how many there were. A day that another run sealed
/// meanwhile stands as that run sealed it.
///
/// # Errors
/// What the store, KMS or S3 failed with: the next run goes on there.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let store = ctx.store().await?;
    let until = ctx.now() - GRACE - DAY;
    let (mut day, mut previous) = match last_sealed(ctx, until).await? {
        Some(last) => (after(&last.day)?, last.chained),
        None => (first_day(store, until).await?, NOTHING),
    };
    let mut sealed = 0;
    while day <= until.day() {
        previous = seal(ctx, store, &day, previous).await?;
        day = after(&day)?;
        sealed += 1;
    }
    remind(ctx, store).await?;
    Ok(sealed)
}

/// Says which reviews are late, every day until one is recorded. A deployment that was not there that long owes none.
async fn remind(ctx: &Context, store: &Store) -> Result<(), HostError> {
    for review in Review::ALL {
        let since = ctx.now() - review.every();
        if read(ctx, &since.day()).await?.is_some() && !store.reviewed_since(review, since).await? {
            tracing::error!(
                function = "schedules/seal-ledger",
                review = review.name(),
                "a review is overdue"
            );
        }
    }
    Ok(())
}

async fn seal(ctx: &Context, store: &Store, day: &str, previous: Hash) -> Result<Hash, HostError> {
    let standing = store.ledger_standing(day).await?;
    let entries = standing.iter().map(Standing::leaf).collect();
    let document = Day::of(day.to_owned(), previous, entries, ctx.now());
    match ctx.put_sealed(day, &ctx.seal_day(&document).await?).await? {
        Put::Done => Ok(document.chained),
        Put::WasThere => read(ctx, day).await?.map(|day| day.chained).ok_or_else(|| unreadable(day)),
    }
}

async fn last_sealed(ctx: &Context, until: Timestamp) -> Result<Option<Day>, HostError> {
    for days in 0..LOOK_BACK {
        if let Some(day) = read(ctx, &(until - DAY * days).day()).await? {
            return Ok(Some(day));
        }
    }
    Ok(None)
}

async fn first_day(store: &Store, until: Timestamp) -> Result<String, HostError> {
    for days in (1..FIRST_DAYS).rev() {
        let day = (until - DAY * days).day();
        if !store.ledger_standing(&day).await?.is_empty() {
            return Ok(day);
        }
    }
    Ok(until.day())
}

async fn read(ctx: &Context, day: &str) -> Result<Option<Day>, HostError> {
    let Some(sealed) = ctx.sealed(day).await? else { return Ok(None) };
    serde_json::from_str(&sealed.document).map(Some).map_err(|_| unreadable(day))
}

fn after(day: &str) -> Result<String, HostError> {
    day_after(day).ok_or_else(|| unreadable(day))
}

fn unreadable(day: &str) -> HostError {
    HostError::Aws { operation: "S3 GetObject", code: format!("the sealed day {day} cannot be read") }
}
