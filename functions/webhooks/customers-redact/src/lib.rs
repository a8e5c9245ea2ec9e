//! `customers/redact`: a person is to be erased. The request is stored, sealed; the erasing is
//! `redact-subject`'s. Works without an access token and after an uninstall.

use std::time::Duration;

use storeward_core::webhook::CustomersRedact;
use storeward_host::{Answer, Context, Function, Queue, Setting, Webhook, WebhookError, webhook};
use storeward_store::Outcome;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/customers-redact",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::RedactSubjectQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "customers/redact", handle)),
};

/// Stores the request and sends its reference, side by side.
///
/// # Errors
/// What the store or the queue failed with: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<CustomersRedact>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        // Nothing is stored about this shop, so nothing about its customers.
        return Ok(Answer::NothingToDo);
    };
    if !installation.is_shop(webhook.body.shop_id)? {
        return Err(WebhookError::shop_mismatch());
    }
    let acceptance = store.accept_redaction(&installation, &webhook.delivery, webhook.body)?;
    let work = acceptance.work().clone();
    let (written, sent) =
        tokio::join!(store.commit(acceptance), ctx.send(Queue::RedactSubject, &work, Duration::ZERO));
    let outcome = written?;
    sent?;
    Ok(match outcome {
        Outcome::Accepted => Answer::Accepted,
        Outcome::Duplicate => Answer::Duplicate,
        // A purge is erasing the person with everything else of the shop.
        Outcome::RefusedErased | Outcome::RefusedLimited => Answer::NothingToDo,
    })
}
