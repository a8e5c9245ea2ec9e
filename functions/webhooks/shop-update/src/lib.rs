//! `shop/update`: the merchant changed the shop's e-mail address, plan or domain. The stored profile follows, and how long
//! things are kept follows the plan.

use std::time::Duration;

use storeward_core::webhook::ShopUpdate;
use storeward_host::{
    Answer, Context, Function, Queue, RefusedBecause, RetentionOrder, Setting, Webhook, WebhookError, webhook,
};
use storeward_store::Profile;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/shop-update",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::ApplyRetentionQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "shop/update", handle)),
};

/// Replaces the profile, unless what is stored is newer: deliveries come late and in any order. Where the plan keeps
/// something for a shorter time, what is stored is gone through; should the message be lost, by the sweep.
///
/// # Errors
/// What the store failed with: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<ShopUpdate>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else { return Ok(Answer::NothingToDo) };
    if !installation.is_installed() {
        return Ok(Answer::Refused(RefusedBecause::Uninstalled));
    }
    let body = webhook.body;
    if !installation.is_shop(body.id)? {
        return Err(WebhookError::shop_mismatch());
    }
    let at = body.updated_at;
    let profile = Profile {
        domain: installation.profile()?.domain,
        shopify_id: Some(body.id),
        email: body.email,
        plan: body.plan_display_name,
        public_domain: body.domain,
    };
    let written = store.renew_profile(&installation, &profile, at).await?;
    // Also where the profile is one that came later: whoever wrote that may not have come this far.
    if store.follow_plan(&installation.tenant).await? {
        let order = RetentionOrder::at_once(installation.tenant);
        ctx.send(Queue::ApplyRetention, &order, Duration::ZERO).await?;
    }
    Ok(if written { Answer::Accepted } else { Answer::Duplicate })
}
