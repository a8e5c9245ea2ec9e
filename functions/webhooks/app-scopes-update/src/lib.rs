//! `app/scopes_update`: what the merchant lets the app do has changed. The stored scopes follow, so that nothing is tried
//! that Shopify would refuse.

use storeward_core::oauth::Scopes;
use storeward_core::webhook::AppScopesUpdate;
use storeward_host::{
    Answer, Context, Function, HostError, RefusedBecause, Setting, Webhook, WebhookError, webhook,
};
use storeward_store::StoreError;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/app-scopes-update",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "app/scopes_update", handle)),
};

/// How often it is tried against a renewal of the tokens.
const ATTEMPTS: u32 = 4;

/// Replaces the scopes by those that are granted now. What is not newer than what is known changes nothing.
///
/// # Errors
/// What the store failed with: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<AppScopesUpdate>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    for _ in 0..ATTEMPTS {
        let Some(installation) = store.installation(&webhook.shop).await? else {
            return Ok(Answer::NothingToDo);
        };
        if !installation.is_installed() {
            return Ok(Answer::Refused(RefusedBecause::Uninstalled));
        }
        if !installation.is_shop(webhook.body.shop_id)? {
            return Err(WebhookError::shop_mismatch());
        }
        let Some(mut access) = installation.access()? else { return Ok(Answer::NothingToDo) };
        let (at, current) = (webhook.body.updated_at, &webhook.body.current);
        if at <= access.scopes_at {
            return Ok(Answer::Duplicate);
        }
        access.scopes = current.iter().map(String::as_str).collect::<Scopes>();
        access.scopes_at = at;
        if store.describe_access(&installation, &access).await? {
            return Ok(Answer::Accepted);
        }
    }
    Err(WebhookError::Host(HostError::from(StoreError::Contended("the shop's scopes"))))
}
