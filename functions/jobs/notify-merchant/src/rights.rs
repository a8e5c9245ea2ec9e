//! The mails about rights requests: to the merchant that one is due, and to a person the code that proves who asks.
//! What they say is `core::rights_mail`'s; when they are sent is the sweep's and the operator's.

use storeward_core::egress::Use;
use storeward_core::rights::{RightsState, Warning};
use storeward_core::rights_mail;
use storeward_core::time::Timestamp;
use storeward_host::{Context, JobError, Letter, Mailed};
use storeward_store::{Installation, Mailing, RecordRef};

use crate::mail::app_url;

/// Tells the merchant that a request is due soon or overdue, unless it is finished or that was told.
pub(crate) async fn warn(
    ctx: &Context,
    installation: &Installation,
    reference: &RecordRef,
    stage: u32,
    since: Timestamp,
) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(warning) = Warning::of_stage(stage) else {
        return Err(JobError::DeadLetter("the message names no warning".to_owned()));
    };
    let Some(asked) = store.asked(&installation.tenant, reference).await? else {
        return Err(JobError::Drop("there is no such request"));
    };
    // One that ended because nobody fetched the answer is told of all the same: somebody has to ask again.
    if asked.state == RightsState::Done || asked.mailed >= stage {
        return Ok(());
    }
    let profile = installation.profile()?;
    let Some(to) = profile.email else { return Ok(()) };
    let url = app_url(ctx, profile.domain.as_str())?;
    let mail = rights_mail::warning(warning, asked.kind, asked.state, asked.due_at(), &url);
    let key = format!("storeward-request-{}-{stage}", reference.id());
    let letter = Letter { to, mail, purpose: Use::ServiceMail, key };
    match ctx.send_letter(installation, letter, &repeatable(since)).await? {
        Mailed::Sent(_) => {
            store.warning_mailed(&installation.tenant, reference, warning).await?;
            Ok(())
        }
        // The request stands in the app with its warning, and the operator's alarm has gone off.
        Mailed::Refused | Mailed::Lost => Ok(()),
        Mailed::NotSent(error) | Mailed::Unknown(error) => Err(error),
    }
}

/// Sends the code of a request to the address on file. Nothing is sent where nothing is stored under it.
pub(crate) async fn send_code(
    ctx: &Context,
    installation: &Installation,
    reference: &RecordRef,
) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(proof) = store.proof_mail(installation, reference).await? else {
        return Err(JobError::Drop("there is nothing to prove, or nobody to write to"));
    };
    let profile = installation.profile()?;
    let shop = profile.public_domain.unwrap_or_else(|| profile.domain.as_str().to_owned());
    let mail = rights_mail::code(&shop, proof.code.expose(), proof.until);
    let key = format!("storeward-proof-{}", reference.id());
    let letter = Letter { to: proof.to, mail, purpose: Use::ProofMail, key };
    match ctx.send_letter(installation, letter, &repeatable(ctx.now())).await? {
        // Where it cannot be sent nobody can prove anything, and the request ends for want of it.
        Mailed::Sent(_) | Mailed::Refused | Mailed::Lost => Ok(()),
        Mailed::NotSent(error) | Mailed::Unknown(error) => Err(error),
    }
}

/// A mail that is the same each time it is sent: it can be sent again for as long as Resend remembers its key.
pub(crate) const fn repeatable(since: Timestamp) -> Mailing {
    Mailing { opening: 1, since, tries: 2 }
}
