//! `shop/redact`, 48 hours after an uninstall: confirms that the purge is done, or asks for it now. A shop that is marked
//! as installed is only touched where Shopify voided its tokens, or the shop is closed and cannot say: its uninstall was never told.

use std::time::Duration;

use storeward_core::data_map::PURGE_AFTER;
use storeward_core::webhook::ShopRedact;
use storeward_host::{
    Answer, Context, Function, HostError, PurgeOrder, Queue, RefusedBecause, Setting, Standing, Webhook,
    WebhookError, webhook,
};
use storeward_store::{Installation, What};

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/shop-redact",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[Setting::PurgeShopQueueUrl, Setting::SyncMailboxQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "shop/redact", handle)),
};

/// Confirms, refuses, or asks for the purge.
///
/// # Errors
/// What the store or the queue failed with, or what left it open whether the app is installed: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<ShopRedact>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        store.note(&webhook.shop, None, What::ShopRedactConfirmed, "shop/redact").await?;
        return Ok(Answer::NothingToDo);
    };
    if !installation.is_shop(webhook.body.shop_id)? {
        return Err(WebhookError::shop_mismatch());
    }
    let generation = installation.tenant.generation;
    if installation.is_installed() {
        if !was_lost(ctx, &webhook, &installation).await? {
            // Installed again since, or a body captured earlier: what it asks for would destroy a working shop.
            store.note(&webhook.shop, Some(generation), What::Refused, "shop/redact").await?;
            return Ok(Answer::Refused(RefusedBecause::Installed));
        }
        tracing::warn!(shop = %webhook.shop, "uninstalled by shop/redact: app/uninstalled never came");
        let mailboxes = store.uninstall(&installation, "shop/redact").await?;
        ctx.end_mailboxes(&installation.tenant, mailboxes).await?;
    }
    let order = PurgeOrder { tenant: installation.tenant, why: "shop/redact".to_owned() };
    ctx.send(Queue::PurgeShop, &order, Duration::ZERO).await?;
    Ok(Answer::Accepted)
}

/// Whether the uninstall that this follows happened and was never told: it is at least as long ago as Shopify waits, with
/// time to spare, and the app has no access any more. Of a closed shop nobody can ask that: what was signed counts.
async fn was_lost(
    ctx: &Context,
    webhook: &Webhook<ShopRedact>,
    installation: &Installation,
) -> Result<bool, HostError> {
    let now = ctx.now();
    // The header is not signed: an early time counts, a late one does not.
    let told = webhook.triggered_at.map_or(now, |at| at.min(now));
    if told < installation.installed_at + PURGE_AFTER {
        return Ok(false);
    }
    Ok(matches!(ctx.standing(installation).await?, Standing::Ended | Standing::Closed))
}
