//! The end of a mailbox: Gmail is asked to tell nothing any more, the consent is given back, and everything that came in is
//! deleted. In this order: without its tokens there is nothing left to give back.

use std::time::Duration;

use storeward_clients::gmail::GmailError;
use storeward_core::time::Timestamp;
use storeward_host::{Context, HostError, JobError, Queue, SyncOrder, SyncWhy};
use storeward_store::{Installation, Lease, MailTokens, Mailbox, MailboxState, Store};

use crate::{BUSY, RESERVE};

/// Ends a mailbox that is marked as ending.
pub(crate) async fn end(
    ctx: &Context,
    installation: &Installation,
    order: &SyncOrder,
    until: Timestamp,
) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let again = SyncOrder { why: SyncWhy::Ended, ..order.clone() };
    let mailbox = match store.lease_mailbox(installation, &order.mailbox, until).await? {
        Lease::Taken(mailbox) => mailbox,
        Lease::Gone => return Err(JobError::Drop("there is no such mailbox")),
        Lease::Busy(_) => {
            ctx.send(Queue::SyncMailbox, &again, BUSY).await?;
            return Ok(());
        }
    };
    let ended = end_leased(ctx, store, installation, &mailbox, until).await;
    if let Ok(true) = ended {
        tracing::info!(mailbox = %mailbox.reference, "a mailbox was ended");
        return Ok(());
    }
    store.release_mailbox(installation, &mailbox).await?;
    if !ended? {
        ctx.send(Queue::SyncMailbox, &again, Duration::ZERO).await?;
    }
    Ok(())
}

/// Whether everything of it is gone, or time ran out first.
async fn end_leased(
    ctx: &Context,
    store: &Store,
    installation: &Installation,
    mailbox: &Mailbox,
    until: Timestamp,
) -> Result<bool, JobError> {
    if let Some(tokens) = &mailbox.tokens
        && !is_used_elsewhere(store, installation, mailbox).await?
    {
        give_back(ctx, installation, mailbox, tokens).await?;
    }
    let time_left = || ctx.now() + RESERVE < until;
    Ok(store.forget_mailbox(installation, mailbox, &time_left).await?)
}

/// Whether another shop has the same mailbox connected: a consent at Google is one for all of them, and so is a watch.
async fn is_used_elsewhere(
    store: &Store,
    installation: &Installation,
    mailbox: &Mailbox,
) -> Result<bool, JobError> {
    for route in store.mailbox_routes(mailbox.address.expose()).await? {
        if route.tenant == installation.tenant {
            continue;
        }
        let Some(other) = store.tenant(&route.tenant).await? else { continue };
        let connected = store.mailbox(&other, &route.mailbox).await?;
        if other.is_installed() && connected.is_some_and(|other| other.state == MailboxState::Connected) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives the consent back. What ended already is no error; while Google does not answer, nothing is forgotten.
async fn give_back(
    ctx: &Context,
    installation: &Installation,
    mailbox: &Mailbox,
    tokens: &MailTokens,
) -> Result<(), JobError> {
    if let Some(access) = told_off(ctx.last_mail_access(installation, tokens).await, mailbox)?.flatten() {
        let stopped = ctx.gmail_for(installation).await?.mailbox(&access).stop().await;
        let stopped = stopped.or_else(|error| match error {
            GmailError::TokenEnded | GmailError::ScopeLacking => Ok(()),
            GmailError::Client(error) => Err(HostError::Google(error)),
        });
        told_off(stopped, mailbox)?;
    }
    let revoked = ctx.google_for(installation).await?.revoke(&tokens.refresh).await;
    told_off(revoked.map_err(HostError::Google), mailbox)?;
    Ok(())
}

/// What can succeed later is tried again. What never will is called out and passed over: it must not keep a mailbox from being
/// forgotten.
fn told_off<T>(asked: Result<T, HostError>, mailbox: &Mailbox) -> Result<Option<T>, JobError> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(HostError::Google(error)) if !error.is_transient() => {
            tracing::error!(mailbox = %mailbox.reference, %error, "Google was not told that a mailbox has ended");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
