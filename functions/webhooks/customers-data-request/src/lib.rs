//! `customers/data_request`: a person asked what is stored. The request is stored, sealed; putting the answer together is
//! `export-subject`'s. Works without an access token and after an uninstall, as long as anything is stored.

use std::time::Duration;

use storeward_core::webhook::CustomersDataRequest;
use storeward_host::{Answer, Context, Function, Queue, Setting, Webhook, WebhookError, webhook};
use storeward_store::Outcome;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/customers-data-request",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::ExportSubjectQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "customers/data_request", handle)),
};

/// Stores the request and sends its reference, side by side.
///
/// # Errors
/// What the store or the queue failed with: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<CustomersDataRequest>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        // Nothing is stored about this shop, so nothing about its customers.
        return Ok(Answer::NothingToDo);
    };
    if !installation.is_shop(webhook.body.shop_id)? {
        return Err(WebhookError::shop_mismatch());
    }
    let acceptance = store.accept_data_request(&installation, &webhook.delivery, webhook.body)?;
    let work = acceptance.work().clone();
    let (written, sent) =
        tokio::join!(store.commit(acceptance), ctx.send(Queue::ExportSubject, &work, Duration::ZERO));
    let outcome = written?;
    sent?;
    Ok(match outcome {
        Outcome::Accepted => Answer::Accepted,
        Outcome::Duplicate => Answer::Duplicate,
        // A purge is erasing everything of the shop: soon nothing is stored.
        Outcome::RefusedErased | Outcome::RefusedLimited => Answer::NothingToDo,
    })
}
