//! `app/uninstalled`: from here on nothing is done for the shop, and its purge is scheduled.

use storeward_core::data_map::PURGE_AFTER;
use storeward_core::webhook::AppUninstalled;
use storeward_host::{Answer, Context, Function, RefusedBecause, Setting, Webhook, WebhookError, webhook};
use storeward_store::What;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/app-uninstalled",
    needs: &[
        &Setting::STORE,
        &[
            Setting::ShopifySecrets,
            Setting::ScheduleGroup,
            Setting::ScheduleRoleArn,
            Setting::PurgeShopQueueArn,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "app/uninstalled", handle)),
};

/// Marks the installation and schedules its purge, side by side: the purge looks at the mark, so a schedule
/// without one does nothing.
///
/// # Errors
/// What the store or the scheduler failed with: Shopify tries again, and both steps can be repeated.
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
    let uninstalled_at = installation.uninstalled_at.unwrap_or_else(|| ctx.now());
    let schedule = ctx.schedule_purge(tenant, uninstalled_at + PURGE_AFTER, "app/uninstalled");
    if !installation.is_installed() {
        // The first delivery may have ended between the two steps.
        schedule.await?;
        return Ok(Answer::Duplicate);
    }
    let (marked, scheduled) = tokio::join!(store.uninstall(&installation, "app/uninstalled"), schedule);
    marked?;
    scheduled?;
    Ok(Answer::Accepted)
}
