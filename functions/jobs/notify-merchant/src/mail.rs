//! The mails about cases, at once or as a digest, and those about changes of sub-processors: each at most once. A mail is
//! announced in the store before it is sent and marked after (docs/decisions/0014-a-mail-at-most-once.md); what it says is
//! `core::alert`'s and `core::announcement`'s.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::resend::{Email, KEY_MEMORY, Sent};
use storeward_core::alert::{self, ListedCase, ListedOrder, Mail};
use storeward_core::announcement;
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Categories, Outgoing, Use};
use storeward_core::guard::Alert;
use storeward_core::instructions::Activity;
use storeward_core::personal::Personal;
use storeward_core::time::{HOUR, Timestamp};
use storeward_host::{Context, JobError, Setting};
use storeward_store::{Case, CaseState, Installation, Mailing, Member, RecordRef, why};

/// How long after its announcement a mail of which nobody knows whether it was sent can be sent again: as long as Resend
/// certainly remembers its key.
const REPEATABLE: Duration = KEY_MEMORY.saturating_sub(HOUR);

/// What a mail about cases carries: whose it is, the orders, and the random name of the case in its key.
const OF_CASES: Categories =
    Categories::of(&[Category::MerchantAccount, Category::OrderMetadata, Category::Pseudonym]);

/// What a mail about the service carries.
const OF_SERVICE: Categories = Categories::of(&[Category::MerchantAccount, Category::Pseudonym]);

/// A mail that is to go out: to whom, what for, and under which key.
pub(crate) struct Letter {
    pub(crate) to: Personal<String>,
    pub(crate) mail: Mail,
    pub(crate) purpose: Use,
    pub(crate) key: String,
}

/// What became of a try to send.
pub(crate) enum Try {
    /// It is sent, now or by an earlier try.
    Sent,
    /// It never will be: Resend does not take it, or may not be given it.
    Refused,
    /// Whether an earlier try sent it is not known, and will not be.
    Lost,
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
    // Where no mail may go out, the case is in the app.
    let to = profile.email.filter(|_| mailed(ctx, installation, Use::CaseMail, OF_CASES));
    let alert = if settings.allow(Activity::AlertByMail) { settings.alert } else { Alert::Off };
    let to = match (alert, to) {
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
    let letter = Letter { to, mail, purpose: Use::CaseMail, key };
    match send(ctx, installation, letter, &mailing).await? {
        Try::Sent | Try::Refused | Try::Lost => {
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
    let wanted = installation.settings()?.allow(Activity::AlertByMail)
        && mailed(ctx, installation, Use::CaseMail, OF_CASES);
    if let (Some(digest), Some(to), true) =
        (store.digest(installation, reference).await?, profile.email, wanted)
    {
        let cases = store.cases_of(installation, &digest).await?;
        let open: Vec<ListedCase> = cases.iter().filter(|case| to_tell(case)).map(listed).collect();
        if !open.is_empty() {
            let mailing = store.announce_digest(installation, reference, &digest).await?;
            let mail = alert::digest(&open, &app_url(ctx, profile.domain.as_str())?);
            let key = format!("storeward-digest-{}", reference.id());
            let letter = Letter { to, mail, purpose: Use::CaseMail, key };
            match send(ctx, installation, letter, &mailing).await? {
                Try::Sent | Try::Refused | Try::Lost => {}
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

/// Tells the merchant of an announcement, unless that was done. Only a mail that Resend took begins the notice period: a
/// merchant who could not be told goes on as before, and finds the change in the app.
pub(crate) async fn announce(
    ctx: &Context,
    installation: &Installation,
    announced: Timestamp,
) -> Result<(), JobError> {
    let (store, stance) = (ctx.store().await?, installation.stance());
    if stance.told.contains_key(&announced) {
        return Ok(());
    }
    let changes = ctx.register().announced(announced, installation.tenant.generation.since());
    if changes.is_empty() {
        return Err(JobError::Drop("no such change concerns the merchant"));
    }
    let profile = installation.profile()?;
    let to = profile.email.filter(|_| mailed(ctx, installation, Use::ServiceMail, OF_SERVICE));
    let Some(to) = to else {
        tracing::warn!(shop = %installation.tenant.shop, "a change of sub-processors cannot be told by mail");
        return Ok(());
    };
    let mailing = store.announce_telling(installation, announced).await?;
    let mail = announcement::compose(&changes, mailing.since, &app_url(ctx, profile.domain.as_str())?);
    let key = format!("storeward-processors-{}-{}", announced.millis(), installation.tenant.shop);
    let letter = Letter { to, mail, purpose: Use::ServiceMail, key };
    match send(ctx, installation, letter, &mailing).await? {
        Try::Sent => {
            store.told_of_change(installation, announced, "mail").await?;
            Ok(())
        }
        Try::Refused => {
            store.telling_not_sent(installation, announced, &mailing).await?;
            Ok(())
        }
        Try::Lost => {
            tracing::error!(shop = %installation.tenant.shop, "whether a merchant was told of a change is not known");
            Ok(())
        }
        Try::NotSent(error) => {
            store.telling_not_sent(installation, announced, &mailing).await?;
            Err(error)
        }
        Try::Unknown(error) => Err(error),
    }
}

/// Whether mail of a kind may go out for a merchant. A mistake in the declaration is left to the gate, which reports it.
fn mailed(ctx: &Context, installation: &Installation, purpose: Use, carried: Categories) -> bool {
    match ctx.permitted(installation, Processor::Resend, purpose, carried) {
        Ok(()) => true,
        Err(refusal) => refusal.is_a_fault(),
    }
}

pub(crate) async fn send(
    ctx: &Context,
    installation: &Installation,
    letter: Letter,
    mailing: &Mailing,
) -> Result<Try, JobError> {
    if mailing.tries > 1 && ctx.now().since(mailing.since) >= REPEATABLE {
        // Resend does not know the key any more: a second mail would be worse than none, for what it tells is in the app.
        tracing::warn!(tries = mailing.tries, "a mail that may have been sent a day ago is not sent again");
        return Ok(Try::Lost);
    }
    let Letter { to, mail, purpose, key } = letter;
    // The orders, in a mail about cases; and the link, which names the shop.
    let (recipient, about) = match purpose {
        Use::CaseMail => (Category::MerchantAccount, OF_CASES),
        Use::ProofMail => (Category::CustomerContact, OF_SERVICE),
        _ => (Category::MerchantAccount, OF_SERVICE),
    };
    let about = about.without(Categories::of(&[Category::Pseudonym]));
    let email = Email {
        purpose,
        from: ctx.setting(Setting::MailFrom)?.to_owned(),
        to: vec![Outgoing::personal(recipient, &to)],
        subject: Outgoing::carrying(about, mail.subject),
        text: Outgoing::carrying(about, mail.text),
        html: Some(Outgoing::carrying(about, mail.html)),
    };
    let key = Outgoing::about(Category::Pseudonym, key);
    Ok(match ctx.resend_for(installation).await?.send(&email, &key).await {
        Ok(Sent::Taken { id }) => {
            tracing::info!(mail = id, "sent");
            Try::Sent
        }
        // An earlier try was sent, with what it had to say then.
        Ok(Sent::InOtherWords) => Try::Sent,
        Err(ClientError::Rejected(code)) if code.starts_with("status ") => {
            // Not the answer of a Resend that read the mail: the endpoint is not what it should be.
            Try::NotSent(JobError::DeadLetter(format!("Resend: {code}")))
        }
        Err(ClientError::Rejected(code)) => {
            // The merchant's address, most likely. What it tells is in the app.
            tracing::warn!(code, "Resend does not take the mail");
            Try::Refused
        }
        Err(ClientError::NotPermitted(refusal)) if refusal.is_a_fault() => {
            Try::NotSent(JobError::DeadLetter(format!("Resend: not sent: {refusal}")))
        }
        // The merchant objected just now.
        Err(ClientError::NotPermitted(_)) => Try::Refused,
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

/// An open case of two orders or more that may be shown.
fn to_tell(case: &Case) -> bool {
    case.state == CaseState::Open && case.members.len() >= 2
}

fn listed(case: &Case) -> ListedCase {
    let order = |member: &Member| ListedOrder {
        name: member.name.as_ref().map(|name| name.expose().clone()),
        total: member.total.clone().zip(member.currency.clone()),
        placed: member.created_at,
        why: why(member),
    };
    let restricted = u64::try_from(case.restricted()).unwrap_or(u64::MAX);
    let size = case.size.saturating_sub(restricted);
    ListedCase { orders: case.members.iter().map(order).collect(), size }
}
