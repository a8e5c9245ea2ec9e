//! `shop/redact`, 48 hours after an uninstall: confirms that the purge is done, or asks for it now. An installed
//! shop is never touched by it.

use std::time::Duration;

use storeward_core::webhook::ShopRedact;
use storeward_host::{
    Answer, Context, Function, PurgeOrder, Queue, RefusedBecause, Setting, Webhook, WebhookError, webhook,
};
use storeward_store::What;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/shop-redact",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::PurgeShopQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "shop/redact", handle)),
};

/// Confirms, refuses, or asks for the purge.
///
/// # Errors
/// What the store or the queue failed with: Shopify tries again.
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
        // Installed again since, or a body captured earlier: what it asks for would destroy a working shop.
        store.note(&webhook.shop, Some(generation), What::Refused, "shop/redact").await?;
        return Ok(Answer::Refused(RefusedBecause::Installed));
    }
    let order = PurgeOrder { tenant: installation.tenant, why: "shop/redact".to_owned() };
    ctx.send(Queue::PurgeShop, &order, Duration::ZERO).await?;
    Ok(Answer::Accepted)
}
