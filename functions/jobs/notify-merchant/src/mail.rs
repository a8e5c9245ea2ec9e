//! The mails about cases: at once or as a digest, each at most once. A mail is announced in the store before it is sent
//! and marked after (docs/decisions/0014-a-mail-at-most-once.md); what it says is `core::alert`'s.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::resend::{Email, KEY_MEMORY, Sent};
use storeward_core::alert::{self, ListedCase, ListedOrder, Mail};
use storeward_core::guard::Alert;
use storeward_core::personal::Personal;
use storeward_core::time::{HOUR, Timestamp};
use storeward_host::{Context, JobError, Setting};
use storeward_store::{Case, CaseState, Installation, Mailing, Member, RecordRef, why};

/// How long after its announcement a mail of which nobody knows whether it was sent can be sent again: as long as Resend
/// certainly remembers its key.
const REPEATABLE: Duration = KEY_MEMORY.saturating_sub(HOUR);

/// What became of a try to send.
pub(crate) enum Try {
    /// It is sent, now or by an earlier try, or never will be.
    Over,
    /// It was certainly not sent.
    NotSent(JobError),
    /// It may have been sent.
    Unknown(JobError),
}

/// Tells the merchant of a case's opening, unless that was done: at once, with the next digest, or not at all.
pub(crate) async fn alert(ctx: &Context, installation: &Installation, case: &Case) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let notice = store.case_notice(installation, &case.reference).await?;
    if notice.alerted >= case.openings {
        return Ok(());
    }
    let settings = installation.settings()?;
    let profile = installation.profile()?;
    let to = match (settings.alert, profile.email) {
        (Alert::Each, Some(to)) => to,
        (Alert::Digest, Some(_)) => {
            store.put_into_digest(installation, case, settings.digest_hour).await?;
            return Ok(());
        }
        (Alert::Off, _) | (_, None) => {
            store.alerted(installation, case).await?;
            return Ok(());
        }
    };
    let mailing = store.announce_mail(installation, case, &notice).await?;
    let mail = alert::single(&listed(case), &app_url(ctx, profile.domain.as_str())?);
    let key = format!("storeward-{}-{}", case.reference.id(), case.openings);
    match send(ctx, to, mail, &key, &mailing).await? {
        Try::Over => {
            store.alerted(installation, case).await?;
            Ok(())
        }
        Try::NotSent(error) => {
            store.mail_not_sent(installation, &case.reference, &mailing).await?;
            Err(error)
        }
        Try::Unknown(error) => Err(error),
    }
}

/// Sends a digest that is due. Cases that were decided meanwhile are left out; with none left there is no mail.
pub(crate) async fn send_digest(
    ctx: &Context,
    installation: &Installation,
    reference: &RecordRef,
    due_at: Timestamp,
) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let profile = installation.profile()?;
    let wanted = installation.settings()?.alert != Alert::Off;
    if let (Some(digest), Some(to), true) =
        (store.digest(installation, reference).await?, profile.email, wanted)
    {
        let cases = store.cases_of(installation, &digest).await?;
        let open: Vec<ListedCase> =
            cases.iter().filter(|case| case.state == CaseState::Open).map(listed).collect();
        if !open.is_empty() {
            let mailing = store.announce_digest(installation, reference, &digest).await?;
            let mail = alert::digest(&open, &app_url(ctx, profile.domain.as_str())?);
            match send(ctx, to, mail, &format!("storeward-digest-{}", reference.id()), &mailing).await? {
                Try::Over => {}
                Try::NotSent(error) => {
                    store.digest_not_sent(installation, reference, &mailing).await?;
                    return Err(error);
                }
                Try::Unknown(error) => return Err(error),
            }
        }
    }
    store.end_digest(installation, reference, due_at).await?;
    Ok(())
}

pub(crate) async fn send(
    ctx: &Context,
    to: Personal<String>,
    mail: Mail,
    key: &str,
    mailing: &Mailing,
) -> Result<Try, JobError> {
    if mailing.tries > 1 && ctx.now().since(mailing.since) >= REPEATABLE {
        // Resend does not know the key any more: a second mail would be worse than none, for the case is in the app.
        tracing::warn!(tries = mailing.tries, "a mail that may have been sent a day ago is not sent again");
        return Ok(Try::Over);
    }
    let email = Email {
        from: ctx.setting(Setting::MailFrom)?.to_owned(),
        to: vec![to],
        subject: mail.subject,
        text: mail.text,
        html: Some(mail.html),
    };
    Ok(match ctx.resend().await?.send(&email, key).await {
        Ok(Sent::Taken { id }) => {
            tracing::info!(mail = id, "sent");
            Try::Over
        }
        // An earlier try was sent, with what the case was then.
        Ok(Sent::InOtherWords) => Try::Over,
        Err(ClientError::Rejected(code)) if code.starts_with("status ") => {
            // Not the answer of a Resend that read the mail: the endpoint is not what it should be.
            Try::NotSent(JobError::DeadLetter(format!("Resend: {code}")))
        }
        Err(ClientError::Rejected(code)) => {
            // The merchant's address, most likely. The case stands without a mail.
            tracing::warn!(code, "Resend does not take the mail");
            Try::Over
        }
        Err(error @ ClientError::Throttled(_)) => Try::NotSent(JobError::Retry(error.to_string())),
        Err(error @ ClientError::Unauthorized) => {
            Try::NotSent(JobError::DeadLetter(format!("Resend: {error}")))
        }
        Err(error @ ClientError::Unavailable(_)) => Try::Unknown(JobError::Retry(error.to_string())),
    })
}

/// Where the merchant opens the app.
pub(crate) fn app_url(ctx: &Context, domain: &str) -> Result<String, JobError> {
    Ok(ctx.setting(Setting::AdminAppUrl)?.replace("{shop}", domain))
}

fn listed(case: &Case) -> ListedCase {
    let order = |member: &Member| ListedOrder {
        name: member.name.as_ref().map(|name| name.expose().clone()),
        total: member.total.clone().zip(member.currency.clone()),
        placed: member.created_at,
        why: why(member),
    };
    ListedCase { orders: case.members.iter().map(order).collect(), size: case.size }
}
