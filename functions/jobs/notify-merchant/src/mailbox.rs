//! The mail that a mailbox has to be connected again: once for each time it was connected. What it says is `core::mailbox_mail`'s.

use storeward_core::egress::Use;
use storeward_core::mailbox_mail;
use storeward_core::time::Timestamp;
use storeward_host::{Context, JobError, Letter, Mailed};
use storeward_store::{Installation, MailboxState, RecordRef};

use crate::mail::app_url;
use crate::rights::repeatable;

/// Tells the merchant, unless the mailbox is connected again by now.
pub(crate) async fn lost(
    ctx: &Context,
    installation: &Installation,
    reference: &RecordRef,
    connected_at: Timestamp,
    lost_at: Timestamp,
) -> Result<(), JobError> {
    let mailbox = ctx.store().await?.mailbox(installation, reference).await?;
    let lost =
        mailbox.filter(|now| now.state == MailboxState::Disconnected && now.connected_at == connected_at);
    if lost.is_none() {
        // The notice is sent before the loss is stored: where that failed, another follows.
        return Err(JobError::Drop("the mailbox is connected, or gone"));
    }
    let profile = installation.profile()?;
    let to = profile.email.filter(|_| ctx.may_mail(installation, Use::ServiceMail));
    // Where no mail may go out, it stands in the app.
    let Some(to) = to else { return Ok(()) };
    let mail = mailbox_mail::lost(lost_at, &app_url(ctx, profile.domain.as_str())?);
    let key = format!("storeward-mailbox-{}-{}", reference.id(), connected_at.millis());
    let letter = Letter { to, mail, purpose: Use::ServiceMail, key };
    match ctx.send_letter(installation, letter, &repeatable(lost_at)).await? {
        Mailed::Sent(_) | Mailed::Refused | Mailed::Lost => Ok(()),
        Mailed::NotSent(error) | Mailed::Unknown(error) => Err(error),
    }
}
