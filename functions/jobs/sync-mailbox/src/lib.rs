//! Reads what is new in a mailbox, keeps it watched, and ends it: everything that Gmail is asked for a mailbox but sending. One run
//! at a time has a mailbox, by its lease; what has to wait, waits in the store for all of them. What a mail means is others'.

mod ending;
mod reading;
mod taking;
mod waiting;

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::gmail::{self, GmailError, Watched};
use storeward_core::data_map::Processor;
use storeward_core::instructions::DeskActivity;
use storeward_core::normalize;
use storeward_core::personal::Personal;
use storeward_core::time::{DAY, Timestamp};
use storeward_host::{
    Context, Function, HostError, JobError, MailAccess, Queue, Renewal, Setting, SyncOrder, SyncWhy, job,
};
use storeward_store::{Installation, Lease, Mailbox, MailboxState, Progress, Store, StoreError};

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/sync-mailbox",
    needs: &[
        &Setting::STORE,
        &Setting::GMAIL,
        &[
            Setting::GoogleTopic,
            Setting::SyncMailboxQueueUrl,
            Setting::ClassifyEmailQueueUrl,
            Setting::NotifyMerchantQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/sync-mailbox", handle)),
};

/// How long one run reads: a mailbox with much in it takes turns with the others.
const TURN: Duration = Duration::from_mins(1);

/// What is kept of the time for the request that is under way and for what comes after it.
const RESERVE: Duration = Duration::from_secs(40);

/// How long a run has the mailbox at most: as long as Lambda lets it run. Should it end unseen, another waits for that.
const LEASE: Duration = Duration::from_mins(2);

/// How long a message waits while another run has the mailbox.
const BUSY: Duration = Duration::from_secs(10);

/// How long before its end a watch is renewed by any run.
const WATCH_ENDS: Duration = DAY;

/// How many quota units a run may spend: under the 6,000 that a mailbox has in a minute, with room for who sends.
const UNITS: u32 = 5_000;

/// How long a run waits for the one after it when its units are spent.
const UNITS_COME_BACK: Duration = Duration::from_mins(1);

/// Why a run ended before its end.
#[derive(Debug)]
enum Stop {
    /// Its turn is over: it goes on after this long.
    Turn(Duration),
    /// Gmail does not answer, or wants to be left alone for at least this long.
    Wait(Duration),
    /// The access token does not count although it should.
    TokenEnded,
    /// Google does not let us in any more.
    Lost,
    /// Somebody else has the mailbox by now, or it is ending.
    Overtaken,
    /// Anything else.
    Fault(JobError),
}

impl From<GmailError> for Stop {
    fn from(error: GmailError) -> Self {
        match error {
            GmailError::TokenEnded => Self::TokenEnded,
            GmailError::ScopeLacking => Self::Lost,
            GmailError::Client(error) => error.into(),
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Throttled(after) => Self::Wait(after),
            ClientError::Unavailable(_) => Self::Wait(Duration::ZERO),
            ClientError::NotPermitted(refusal) if !refusal.is_a_fault() => {
                Self::Fault(JobError::Drop("Google may not be asked for this merchant"))
            }
            error => Self::Fault(JobError::DeadLetter(format!("Gmail: {error}"))),
        }
    }
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Google(error) => error.into(),
            error => Self::Fault(error.into()),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

/// A run that has a mailbox.
struct Run<'a> {
    ctx: &'a Context,
    store: &'a Store,
    installation: &'a Installation,
    mailbox: &'a Mailbox,
    /// The mailbox's address in its normal form.
    own: Vec<Personal<String>>,
    /// Until when it reads.
    ends: Timestamp,
}

/// Does what is to be done about a mailbox. Doing it again finds it done.
///
/// # Errors
/// Retry while the store or a queue is unavailable; drop when there is nothing to read; dead letter for an answer of Google's that
/// somebody has to look at. What Google asks to wait for is no error: it waits in the store.
pub async fn handle(ctx: &Context, order: SyncOrder, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&order.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    let Some(seen) = store.mailbox(&installation, &order.mailbox).await? else {
        return Err(JobError::Drop("there is no such mailbox"));
    };
    let until = deadline.min(ctx.now() + LEASE);
    let used = installation.is_installed() && !installation.objects_to(Processor::Google);
    if !used && seen.state != MailboxState::Ending {
        // It was connected while the app was being removed, or while the merchant objected.
        store.end_mailbox(&installation, &order.mailbox).await?;
        return ending::end(ctx, &installation, &order, until).await;
    }
    if seen.state == MailboxState::Ending {
        return ending::end(ctx, &installation, &order, until).await;
    }
    if order.why == SyncWhy::Ended {
        return Err(JobError::Drop("the mailbox was connected again"));
    }
    if seen.state == MailboxState::Disconnected {
        return Err(JobError::Drop("the mailbox is disconnected"));
    }
    let reads = store.desk(&installation).await?.settings.allow(DeskActivity::ReadMail);
    if is_known(&seen, order.why) || (!reads && !is_for_the_watch(order.why)) {
        return Err(JobError::Drop("there is nothing new"));
    }
    if let Some(until) = seen.quiet_until.filter(|until| ctx.now() < *until) {
        return waiting::still(ctx, &order, until).await;
    }
    let mailbox = match store.lease_mailbox(&installation, &order.mailbox, until).await? {
        Lease::Taken(mailbox) => mailbox,
        Lease::Gone => return Err(JobError::Drop("there is no such mailbox")),
        Lease::Busy(_) => {
            // Whoever has it may have read past what this is about, or not: it is looked at again.
            ctx.send(Queue::SyncMailbox, &order, BUSY).await?;
            return Ok(());
        }
    };
    let run = Run {
        ctx,
        store,
        installation: &installation,
        own: normalize::email(mailbox.address.expose()).into_iter().collect(),
        ends: (until - RESERVE).min(ctx.now() + TURN),
        mailbox: &mailbox,
    };
    let ended = if run.is_to_be_looked_at(order.why) { run.work(order.why, reads).await } else { Ok(()) };
    let waits = run.see_to(ended).await;
    let released = store.release_mailbox(&installation, &mailbox).await;
    // Whatever goes on finds the mailbox free.
    let waits = waits?;
    released?;
    if let Some(delay) = waits {
        let again = SyncOrder { why: SyncWhy::Again, ..order };
        ctx.send(Queue::SyncMailbox, &again, delay).await?;
    }
    Ok(())
}

/// Whether a notice tells of nothing that was not read: notices come twice, late, and in any order. While a mailbox is gone
/// through, its history is read afterwards.
fn is_known(mailbox: &Mailbox, why: SyncWhy) -> bool {
    let SyncWhy::Pushed { history_id } = why else { return false };
    mailbox.full_sync.is_some() || mailbox.cursor.is_some_and(|cursor| history_id <= cursor)
}

/// What is done also where the merchant has no mail read: the mailbox stays watched, and what comes in meanwhile is passed over.
const fn is_for_the_watch(why: SyncWhy) -> bool {
    matches!(why, SyncWhy::Pushed { .. } | SyncWhy::Connected | SyncWhy::Renew)
}

impl Run<'_> {
    /// Whether the mailbox, now that nobody else changes it, is as it was when the message was looked at.
    fn is_to_be_looked_at(&self, why: SyncWhy) -> bool {
        self.mailbox.state == MailboxState::Connected && !is_known(self.mailbox, why)
    }

    async fn work(&self, why: SyncWhy, reads: bool) -> Result<(), Stop> {
        if !reads && let SyncWhy::Pushed { history_id } = why {
            // What comes in while reading is switched off is not made up for when it is on again.
            return self.moved_on(Progress::Cursor(history_id)).await;
        }
        match self.work_with(why, reads, Renewal::WhenDue).await {
            // Google ended a token early. Once: whatever a new one does not open, waiting may.
            Err(Stop::TokenEnded) => match self.work_with(why, reads, Renewal::Now).await {
                Err(Stop::TokenEnded) => Err(Stop::Wait(Duration::ZERO)),
                ended => ended,
            },
            ended => ended,
        }
    }

    async fn work_with(&self, why: SyncWhy, reads: bool, renewal: Renewal) -> Result<(), Stop> {
        let access = match self.ctx.mail_access(self.installation, self.mailbox, renewal).await? {
            MailAccess::Open(access) => access,
            // It is stored and told.
            MailAccess::Lost | MailAccess::Overtaken => return Err(Stop::Overtaken),
        };
        let gmail = self.ctx.gmail_for(self.installation).await?.mailbox(&access);
        self.watch(&gmail, why).await?;
        if reads { self.read(&gmail).await } else { Ok(()) }
    }

    /// Asks Gmail to tell of new mail, when that is asked for or about to end. A refusal keeps nothing from being read.
    async fn watch(&self, gmail: &gmail::Mailbox, why: SyncWhy) -> Result<(), Stop> {
        let ends = self.mailbox.watched_until.is_none_or(|until| until < self.ctx.now() + WATCH_ENDS);
        if !ends && !matches!(why, SyncWhy::Connected | SyncWhy::Renew) {
            return Ok(());
        }
        let topic = self.ctx.setting(Setting::GoogleTopic)?;
        let mut watched = gmail.watch(topic).await;
        if watched == Ok(Watched::OtherClient) {
            gmail.stop().await?;
            watched = gmail.watch(topic).await;
        }
        match watched {
            Ok(Watched::Until { expires_at, .. }) => {
                let kept = self.store.mailbox_watched(self.installation, self.mailbox, expires_at).await?;
                if kept { Ok(()) } else { Err(Stop::Overtaken) }
            }
            Ok(Watched::OtherClient) => {
                tracing::error!(mailbox = %self.mailbox.reference, "not watched: another topic has the mailbox");
                Ok(())
            }
            Err(GmailError::Client(ClientError::Rejected(why))) => {
                tracing::error!(mailbox = %self.mailbox.reference, why, "not watched");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers how far the mailbox was read.
    async fn moved_on(&self, progress: Progress) -> Result<(), Stop> {
        let moved = self.store.mailbox_read(self.installation, self.mailbox, progress).await?;
        if moved { Ok(()) } else { Err(Stop::Overtaken) }
    }

    /// What follows from how a run ended: after which time another goes on, if one does.
    async fn see_to(&self, ended: Result<(), Stop>) -> Result<Option<Duration>, JobError> {
        let Err(stop) = ended else { return Ok(None) };
        match stop {
            Stop::Turn(after) => Ok(Some(after)),
            Stop::Wait(after) => Ok(Some(waiting::begin(self, after).await?)),
            Stop::TokenEnded => Ok(Some(waiting::begin(self, Duration::ZERO).await?)),
            // By now it is somebody else's, or nobody's: who looks again finds out.
            Stop::Overtaken => Ok(Some(BUSY)),
            Stop::Lost => {
                self.ctx.lose_mailbox(self.installation, self.mailbox).await?;
                Ok(None)
            }
            Stop::Fault(JobError::DeadLetter(why)) => {
                // The next notices would run into the same.
                waiting::begin(self, Duration::ZERO).await?;
                Err(JobError::DeadLetter(why))
            }
            Stop::Fault(error) => Err(error),
        }
    }
}
