//! `app/uninstalled`: from here on nothing is done for the shop, and its purge is scheduled. Only the body is signed, and a
//! `shop/update` has the same one: where the bundle has tokens, Shopify is asked whether they still count.

use std::time::Duration;

use storeward_core::data_map::PURGE_AFTER;
use storeward_core::shop::Tenant;
use storeward_core::time::MINUTE;
use storeward_core::webhook::AppUninstalled;
use storeward_host::{
    Answer, Context, Function, Problem, ProblemKind, Queue, RefusedBecause, Setting, Standing, SyncOrder,
    SyncWhy, Webhook, WebhookError, webhook,
};
use storeward_store::{RecordRef, What};

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/app-uninstalled",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[
            Setting::ScheduleGroup,
            Setting::ScheduleRoleArn,
            Setting::PurgeShopQueueArn,
            Setting::SyncMailboxQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "app/uninstalled", handle)),
};

/// How long after an uninstall its tokens may still count somewhere at Shopify. A delivery that says it is fresher is asked
/// for again instead of being refused for good.
const SETTLED: Duration = MINUTE.saturating_mul(2);

/// Marks the installation and schedules its purge, side by side: the purge looks at the mark, so a schedule
/// without one does nothing. Then what Google has of its mailboxes is to be ended, long before the purge.
///
/// # Errors
/// What the store or the scheduler failed with, or what left it open whether the app is still installed: Shopify tries
/// again for four hours, and all steps can be repeated. Should it give up, `shop/redact` makes up for it.
pub async fn handle(ctx: &Context, webhook: Webhook<AppUninstalled>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else { return Ok(Answer::NothingToDo) };
    if !installation.is_shop(webhook.body.id)? {
        return Err(WebhookError::shop_mismatch());
    }
    let tenant = &installation.tenant;
    if webhook.triggered_at.is_some_and(|at| at < installation.installed_at) {
        // Late news about an installation before this one, also where the merchant came back before it was told.
        store.note(&webhook.shop, Some(tenant.generation), What::Refused, "app/uninstalled").await?;
        return Ok(Answer::Refused(RefusedBecause::BeforeInstallation));
    }
    if installation.is_installed() && ctx.standing(&installation).await? == Standing::Installed {
        if webhook.triggered_at.is_some_and(|at| ctx.now() < at + SETTLED) {
            let detail = "the app still has access to the shop";
            return Err(WebhookError::Problem(Problem::new(ProblemKind::Unavailable, detail)));
        }
        store.note(&webhook.shop, Some(tenant.generation), What::Refused, "app/uninstalled").await?;
        return Ok(Answer::Refused(RefusedBecause::Installed));
    }
    let uninstalled_at = installation.uninstalled_at.unwrap_or_else(|| ctx.now());
    let schedule = ctx.schedule_purge(tenant, uninstalled_at + PURGE_AFTER, "app/uninstalled");
    if !installation.is_installed() {
        // The first delivery may have ended between the two steps.
        schedule.await?;
        let mailboxes = store.mailboxes(&installation).await?;
        end_mailboxes(ctx, tenant, mailboxes.into_iter().map(|mailbox| mailbox.reference)).await?;
        return Ok(Answer::Duplicate);
    }
    let (marked, scheduled) = tokio::join!(store.uninstall(&installation, "app/uninstalled"), schedule);
    let mailboxes = marked?;
    scheduled?;
    end_mailboxes(ctx, tenant, mailboxes.into_iter()).await?;
    Ok(Answer::Accepted)
}

async fn end_mailboxes(
    ctx: &Context,
    tenant: &Tenant,
    mailboxes: impl Iterator<Item = RecordRef>,
) -> Result<(), WebhookError> {
    for mailbox in mailboxes {
        let order = SyncOrder { tenant: tenant.clone(), mailbox, why: SyncWhy::Ended };
        ctx.send(Queue::SyncMailbox, &order, Duration::ZERO).await?;
    }
    Ok(())
}
