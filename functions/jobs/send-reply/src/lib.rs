//! Sends a reply through the merchant's mailbox, once: that it is being sent is written down first, and whoever finds that
//! looks for the mail before sending it again. Nothing is sent into a conversation that moved on.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::gmail::{self, GmailError, Sending};
use storeward_core::data_map::Category;
use storeward_core::desk::rules::Rule;
use storeward_core::egress::{Categories, Outgoing};
use storeward_core::gmail::ThreadId;
use storeward_core::instructions::DeskActivity;
use storeward_core::mail::{self, Address, Reply};
use storeward_core::time::{DAY, MINUTE, Timestamp};
use storeward_host::{Context, DeskTask, Function, JobError, MailAccess, Queue, Renewal, Setting, job};
use storeward_store::{Announced, Draft, DraftState, Installation, Lease, Mailbox, MailboxState};

/// How long one run has the mailbox to itself: longer than all its calls may take together.
const LEASE: Duration = Duration::from_secs(110);

/// How long a reply waits at least when somebody else has the mailbox.
const TURN: Duration = Duration::from_secs(5);

/// How long a reply waits when Gmail wants to be left alone and does not say for how long.
const PAUSE: Duration = Duration::from_mins(2);

/// After how long nothing is sent any more that could not be sent.
const LATE: Duration = DAY;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/send-reply",
    needs: &[
        &Setting::STORE,
        &Setting::GMAIL,
        &[Setting::SendReplyQueueUrl, Setting::NotifyMerchantQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/send-reply", handle)),
};

/// Works on one reply. Doing it again finds it sent.
///
/// # Errors
/// Retry while something is unavailable, also when nobody knows whether it was sent: the next try looks. Drop when the shop or
/// the reply are gone.
pub async fn handle(ctx: &Context, task: DeskTask, _deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&task.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    if !installation.is_installed() {
        return Err(JobError::Drop("the app was uninstalled"));
    }
    let Some(draft) = store.draft(&installation, &task.record).await? else {
        return Err(JobError::Drop("there is no such reply, or its use is limited"));
    };
    if !matches!(draft.state, DraftState::Scheduled | DraftState::Approved | DraftState::Sending) {
        return Ok(());
    }
    if let Some(at) = draft.send_at.filter(|at| *at > ctx.now()) {
        return again(ctx, &task, at.since(ctx.now())).await;
    }
    // One that a try began with may have gone out, and is looked for whatever counts now: it is asked after that.
    if draft.tries == 0 && may_not_be_sent(ctx, &installation, &draft).await?.is_some() {
        store.cancel_draft(&installation, &draft.reference).await?;
        return Ok(());
    }
    let mailbox = match store.lease_mailbox(&installation, &draft.mailbox, ctx.now() + LEASE).await? {
        Lease::Taken(mailbox) => *mailbox,
        Lease::Busy(until) => return again(ctx, &task, until.since(ctx.now()).clamp(TURN, MINUTE)).await,
        Lease::Gone => return Err(JobError::Drop("the mailbox is gone")),
    };
    let sent = Box::pin(under_lease(ctx, &installation, &mailbox, &task)).await;
    // Best effort: a lease ends by itself.
    let _released = store.release_mailbox(&installation, &mailbox).await;
    sent
}

/// Why what was decided does not count any more, in words for the merchant: it was switched off since, or could not be sent for
/// so long that a person has to decide again.
async fn may_not_be_sent(
    ctx: &Context,
    installation: &Installation,
    draft: &Draft,
) -> Result<Option<&'static str>, JobError> {
    if draft.send_at.is_some_and(|at| at + LATE <= ctx.now()) {
        return Ok(Some("it could not be sent for a day: does it still answer the mail?"));
    }
    if !draft.automatic {
        return Ok(None);
    }
    let store = ctx.store().await?;
    let (desk, mail) = futures::try_join!(store.desk(installation), store.mail(installation, &draft.mail))?;
    let settings = &desk.settings;
    let may = mail.and_then(|mail| mail.understanding).is_some_and(|made| {
        let sends = |rule: &Rule| rule.enabled && rule.sends() && made.matched.contains(&rule.id);
        settings.allow(DeskActivity::SendByRule)
            && !settings.never_automatic.contains(&made.intent)
            && desk.rules.iter().any(sends)
    });
    Ok((!may).then_some("what sends it was switched off before it could be sent"))
}

/// Gives the task to the queue once more, for later.
async fn again(ctx: &Context, task: &DeskTask, wait: Duration) -> Result<(), JobError> {
    Ok(ctx.send(Queue::SendReply, task, wait).await?)
}

async fn under_lease(
    ctx: &Context,
    installation: &Installation,
    mailbox: &Mailbox,
    task: &DeskTask,
) -> Result<(), JobError> {
    let store = ctx.store().await?;
    if mailbox.state != MailboxState::Connected {
        // Its due row stays: once the mailbox is connected again, the sweep asks for it again.
        tracing::warn!(mailbox = %mailbox.reference, "a reply waits: its mailbox is not connected");
        return Ok(());
    }
    if let Some(quiet) = mailbox.quiet_until.filter(|quiet| *quiet > ctx.now()) {
        return again(ctx, task, quiet.since(ctx.now())).await;
    }
    let access = match ctx.mail_access(installation, mailbox, Renewal::WhenDue).await? {
        MailAccess::Open(access) => access,
        MailAccess::Lost => return Ok(()),
        MailAccess::Overtaken => return again(ctx, task, TURN).await,
    };
    let (draft, tried) = match store.announce_sending(installation, &task.record).await? {
        Announced::First(draft) => (draft, false),
        Announced::Again(draft) => (draft, true),
        Announced::TooEarly(at) => return again(ctx, task, at.since(ctx.now())).await,
        Announced::MovedOn | Announced::NotToSend => return Ok(()),
    };
    let gmail = ctx.gmail_for(installation).await?.mailbox(&access);
    let outcome = if tried {
        match sent_earlier(&gmail, &draft).await {
            Ok(Some(id)) => Ok(Outcome::Sent(id)),
            Ok(None) => match may_not_be_sent(ctx, installation, &draft).await? {
                Some(why) => Ok(Outcome::Impossible(why)),
                None => send(ctx, mailbox, &gmail, &draft).await,
            },
            Err(error) => Err(error),
        }
    } else {
        send(ctx, mailbox, &gmail, &draft).await
    };
    match outcome {
        Ok(Outcome::Sent(id)) => Ok(store.draft_sent(installation, &draft, &id).await?),
        Ok(Outcome::Impossible(why)) => Ok(store.draft_not_sent(installation, &draft, why).await?),
        Err(GmailError::TokenEnded) => {
            // The next try has a new token, or finds the mailbox lost.
            match ctx.mail_access(installation, mailbox, Renewal::Now).await? {
                MailAccess::Lost => Ok(()),
                MailAccess::Open(_) | MailAccess::Overtaken => again(ctx, task, TURN).await,
            }
        }
        Err(GmailError::ScopeLacking) => {
            ctx.lose_mailbox(installation, mailbox).await?;
            Ok(())
        }
        Err(GmailError::Client(ClientError::Throttled(wait))) => {
            let wait = wait.max(PAUSE);
            store.leave_mailbox_alone(installation, mailbox, ctx.now() + wait).await?;
            again(ctx, task, wait).await
        }
        // Nobody knows whether it was sent: it is looked for.
        Err(GmailError::Client(error)) if error.is_transient() => Err(JobError::Retry(error.to_string())),
        Err(GmailError::Client(error)) => {
            tracing::warn!(draft = %draft.reference, %error, "Gmail does not take a reply");
            let why = "Gmail does not take it: send it from the mailbox";
            Ok(store.draft_not_sent(installation, &draft, why).await?)
        }
    }
}

/// What became of a try.
enum Outcome {
    /// It is sent, now or by an earlier try: Gmail's id of it.
    Sent(String),
    /// It cannot be sent; why, in words for the merchant.
    Impossible(&'static str),
}

/// Gmail's id of what an earlier try sent, if it did.
async fn sent_earlier(gmail: &gmail::Mailbox, draft: &Draft) -> Result<Option<String>, GmailError> {
    // Random and ours: it names nobody.
    let id = Outgoing::own(draft.message_id.as_str().to_owned());
    let found = gmail.find(&id).await.map_err(|error| match error {
        // Until it was looked for, nobody can say that it was not sent.
        GmailError::Client(error) if !error.is_transient() => {
            GmailError::Client(ClientError::Unavailable(error.to_string()))
        }
        error => error,
    })?;
    Ok(found.map(|found| found.id.expose().to_owned()))
}

async fn send(
    ctx: &Context,
    mailbox: &Mailbox,
    gmail: &gmail::Mailbox,
    draft: &Draft,
) -> Result<Outcome, GmailError> {
    let reply = Reply {
        message_id: draft.message_id.clone(),
        from: Address { name: None, address: mailbox.address.clone() },
        to: draft.to.clone(),
        subject: draft.subject.clone(),
        in_reply_to: draft.in_reply_to.clone(),
        references: draft.references.clone(),
        text: draft.text.clone(),
        date: ctx.now(),
        auto_submitted: draft.automatic,
    };
    let Ok(raw) = mail::compose(&reply) else {
        return Ok(Outcome::Impossible("it has no text, or goes to no address: answer from the mailbox"));
    };
    let carried = Categories::of(&[
        Category::MerchantAccount,
        Category::CustomerContact,
        Category::CustomerAddress,
        Category::OrderMetadata,
        Category::Correspondence,
    ]);
    let thread = ThreadId::try_from(draft.provider_thread.clone()).ok();
    match gmail.send(&Outgoing::carrying(carried, raw), thread.as_ref()).await? {
        Sending::Sent(name) => Ok(Outcome::Sent(name.id.expose().to_owned())),
        Sending::ThreadGone => Ok(Outcome::Impossible("its conversation was deleted in the mailbox")),
    }
}
