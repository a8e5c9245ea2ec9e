//! `customers/update`: a customer's account changed. Where orders name it, the account as it is now is stored, sealed;
//! rectifying them is `rectify-subject`'s: a customer can have many.

use std::time::Duration;

use storeward_core::webhook::CustomersUpdate;
use storeward_host::{
    Answer, Context, Function, Queue, RefusedBecause, Setting, Webhook, WebhookError, webhook,
};
use storeward_store::Outcome;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/customers-update",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::RectifySubjectQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "customers/update", handle)),
};

/// Looks whether anything names the customer, stores the account and sends its reference, side by side.
///
/// # Errors
/// What the store or the queue failed with: Shopify tries again.
pub async fn handle(ctx: &Context, webhook: Webhook<CustomersUpdate>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        return Ok(Answer::NothingToDo);
    };
    if !installation.is_installed() {
        return Ok(Answer::Refused(RefusedBecause::Uninstalled));
    }
    if !store.knows_customer(&installation, &webhook.body.id).await? {
        return Ok(Answer::NothingToDo);
    }
    let acceptance = store.accept_rectification(&installation, &webhook.delivery, webhook.body)?;
    let work = acceptance.work().clone();
    let (written, sent) =
        tokio::join!(store.commit(acceptance), ctx.send(Queue::RectifySubject, &work, Duration::ZERO));
    let outcome = written?;
    sent?;
    Ok(match outcome {
        Outcome::Accepted => Answer::Accepted,
        Outcome::Duplicate => Answer::Duplicate,
        Outcome::RefusedErased => Answer::Refused(RefusedBecause::Erased),
        Outcome::RefusedLimited => Answer::Refused(RefusedBecause::Limited),
    })
}
