//! `orders/create`: an order is stored with its index rows, and looked at for duplicates.
//! The looking is `match-order`'s.

use std::time::Duration;

use storeward_core::instructions::Activity;
use storeward_core::order::Order;
use storeward_host::{
    Answer, Context, Function, Queue, RefusedBecause, Setting, Webhook, WebhookError, webhook,
};
use storeward_host::{Problem, ProblemKind};
use storeward_store::Outcome;

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/orders-create",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::MatchOrderQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "orders/create", handle)),
};

/// Two round trips: the shop and its keys are read, then the order is written and its reference sent side by side.
///
/// # Errors
/// A problem when the app is not installed (Shopify tries again, should the installation be under way), else
/// what the store or the queue failed with.
pub async fn handle(ctx: &Context, webhook: Webhook<Order>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        let detail = "install the app first";
        return Err(WebhookError::Problem(Problem::new(ProblemKind::NotInstalled, detail)));
    };
    if !installation.is_installed() {
        return Ok(Answer::Refused(RefusedBecause::Uninstalled));
    }
    if !webhook.body.counts() || !installation.settings()?.allow(Activity::DetectDuplicates) {
        return Ok(Answer::NothingToDo);
    }
    let acceptance = store.accept_order(&installation, &webhook.delivery, webhook.body)?;
    let work = acceptance.work().clone();
    let (written, sent) =
        tokio::join!(store.commit(acceptance), ctx.send(Queue::MatchOrder, &work, Duration::ZERO));
    let outcome = written?;
    sent?;
    Ok(match outcome {
        Outcome::Accepted => Answer::Accepted,
        Outcome::Duplicate => Answer::Duplicate,
        Outcome::RefusedErased => Answer::Refused(RefusedBecause::Erased),
        Outcome::RefusedLimited => Answer::Refused(RefusedBecause::Limited),
    })
}
