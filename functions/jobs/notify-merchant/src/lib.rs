//! Tells a merchant of a change of sub-processors, and of a case: in the shop (tag, risk facts, a hold) and by mail, as its settings say, and lets go of
//! what was held once the case is decided. Of rights requests it sends the warnings, and the code that proves who asks. It does what the case as it stands still lacks, whatever the message said.
//! Nothing is cancelled here, ever (promise DG41).

mod mail;
mod mailbox;
mod rights;
mod shop;

use storeward_core::time::Timestamp;
use storeward_host::{Context, Function, Happened, JobError, Notice, Setting, job};
use storeward_store::CaseState;

pub use shop::TAG;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/notify-merchant",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[Setting::ResendKey, Setting::ResendEndpoint, Setting::MailFrom, Setting::AdminAppUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/notify-merchant", handle)),
};

/// Works on one notice. Doing it again finds everything done.
///
/// # Errors
/// Retry while something is unavailable; drop when shop or case are gone; dead letter when Resend does not accept the
/// key or the sender, which somebody has to see to.
pub async fn handle(ctx: &Context, notice: Notice, _deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&notice.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    if notice.what == Happened::Proof {
        // A person's right does not end with the merchant's installation, only with the data.
        return rights::send_code(ctx, &installation, &notice.case).await;
    }
    if !installation.is_installed() {
        return Err(JobError::Drop("the app was uninstalled"));
    }
    let newcomers = match notice.what {
        Happened::Digest { due_at } => {
            return mail::send_digest(ctx, &installation, &notice.case, due_at).await;
        }
        Happened::ProcessorsAnnounced { announced } => {
            return mail::announce(ctx, &installation, announced).await;
        }
        Happened::MailboxLost { connected_at, lost_at } => {
            return mailbox::lost(ctx, &installation, &notice.case, connected_at, lost_at).await;
        }
        Happened::Opened { newcomers } => newcomers,
        Happened::RequestDue { stage, since } => {
            return rights::warn(ctx, &installation, &notice.case, stage, since).await;
        }
        Happened::Decided | Happened::Proof => Vec::new(),
    };
    let Some(case) = store.case(&installation, &notice.case).await? else {
        return Err(JobError::Drop("there is no such case"));
    };
    if !case.is_to_wait() {
        return shop::let_go(ctx, &installation, &case).await;
    }
    // What may not be used is out of sight: with fewer than two orders left in it there is nothing to tell.
    if case.state != CaseState::Open || case.members.len() < 2 {
        return Ok(());
    }
    // Neither keeps the other from being done; what failed is tried again, and finds the rest done.
    let shown = Box::pin(shop::show(ctx, &installation, &case, &newcomers)).await;
    let told = mail::alert(ctx, &installation, &case).await;
    shown.and(told)
}
