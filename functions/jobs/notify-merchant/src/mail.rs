//! The mails about cases, at once or as a digest, and those about changes of sub-processors: each at most once. A mail is
//! announced in the store before it is sent and marked after (docs/decisions/0014-a-mail-at-most-once.md); what it says is
//! `core::alert`'s and `core::announcement`'s.

use storeward_core::alert::{self, ListedCase, ListedOrder};
use storeward_core::announcement;
use storeward_core::egress::Use;
use storeward_core::guard::Alert;
use storeward_core::instructions::Activity;
use storeward_core::time::Timestamp;
use storeward_host::{Context, JobError, Letter, Mailed, Setting};
use storeward_store::{Case, CaseState, Installation, Member, RecordRef, why};

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
    let to = profile.email.filter(|_| ctx.may_mail(installation, Use::CaseMail));
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
    match ctx.send_letter(installation, letter, &mailing).await? {
        Mailed::Sent(_) | Mailed::Refused | Mailed::Lost => {
            store.alerted(installation, case).await?;
            Ok(())
        }
        Mailed::NotSent(error) => {
            store.mail_not_sent(installation, &case.reference, &mailing).await?;
            Err(error)
        }
        Mailed::Unknown(error) => Err(error),
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
    let wanted =
        installation.settings()?.allow(Activity::AlertByMail) && ctx.may_mail(installation, Use::CaseMail);
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
            match ctx.send_letter(installation, letter, &mailing).await? {
                Mailed::Sent(_) | Mailed::Refused | Mailed::Lost => {}
                Mailed::NotSent(error) => {
                    store.digest_not_sent(installation, reference, &mailing).await?;
                    return Err(error);
                }
                Mailed::Unknown(error) => return Err(error),
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
    let to = profile.email.filter(|_| ctx.may_mail(installation, Use::ServiceMail));
    let Some(to) = to else {
        tracing::warn!(shop = %installation.tenant.shop, "a change of sub-processors cannot be told by mail");
        return Ok(());
    };
    let mailing = store.announce_telling(installation, announced).await?;
    let mail = announcement::compose(&changes, mailing.since, &app_url(ctx, profile.domain.as_str())?);
    let key = format!("storeward-processors-{}-{}", announced.millis(), installation.tenant.shop);
    let letter = Letter { to, mail, purpose: Use::ServiceMail, key };
    match ctx.send_letter(installation, letter, &mailing).await? {
        Mailed::Sent(_) => {
            store.told_of_change(installation, announced, "mail").await?;
            Ok(())
        }
        Mailed::Refused => {
            store.telling_not_sent(installation, announced, &mailing).await?;
            Ok(())
        }
        Mailed::Lost => {
            tracing::error!(shop = %installation.tenant.shop, "whether a merchant was told of a change is not known");
            Ok(())
        }
        Mailed::NotSent(error) => {
            store.telling_not_sent(installation, announced, &mailing).await?;
            Err(error)
        }
        Mailed::Unknown(error) => Err(error),
    }
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
