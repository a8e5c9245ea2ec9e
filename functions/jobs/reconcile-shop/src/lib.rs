//! Compares a shop's orders with what Shopify has: what changed since the last time goes the way that a webhook's order
//! goes, and what came by webhook already changes nothing.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_core::instructions::Activity;
use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::{Context, Function, JobError, Queue, ReconcileOrder, Setting, job, take_news};
use storeward_store::{Delivery, News};

/// How far before the last comparison's end the next one begins: Shopify's search finds a change a little after it.
const OVERLAP: Duration = Duration::from_mins(5);

/// What is kept of the time for the page that is being worked on and the message to the next run.
const RESERVE: Duration = MINUTE;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/reconcile-shop",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[Setting::MatchOrderQueueUrl, Setting::ReconcileShopQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/reconcile-shop", handle)),
};

/// Goes through what changed, page by page, until the end or until time is nearly over: then another run goes on.
///
/// # Errors
/// Retry while something is unavailable or throttled; drop when there is nobody to ask.
pub async fn handle(ctx: &Context, order: ReconcileOrder, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&order.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    if !installation.is_installed() {
        return Err(JobError::Drop("the app was uninstalled"));
    }
    let began = ctx.now();
    if !installation.settings()?.allow(Activity::CompareWithShop) {
        // What happens while it is off is not made up for when it is on again.
        store.reconciled(&installation, began).await?;
        return Err(JobError::Drop("the merchant switched comparing off"));
    }
    let Some(access) = ctx.admin_access(&installation).await? else {
        return Err(JobError::Drop("there is no access to the Admin API"));
    };
    let shopify = ctx.shopify_for(&installation).await?;
    let from = order.from.unwrap_or_else(|| installation.reconciled_until() - OVERLAP);
    let (mut next, mut seen, mut changed, mut unreadable) = (None, from, 0usize, 0);
    loop {
        let token = access.token.expose();
        let page = shopify.orders_changed_since(&access.domain, token, from, next.as_deref()).await;
        let page = page.map_err(|error| match error {
            ClientError::Unauthorized => JobError::Drop("the token or its scopes do not allow it"),
            ClientError::Rejected(code) => JobError::DeadLetter(code),
            ClientError::NotPermitted(refusal) if refusal.is_a_fault() => {
                JobError::DeadLetter(refusal.to_string())
            }
            ClientError::NotPermitted(_) => JobError::Drop("Shopify may not be asked for this merchant"),
            error => JobError::Retry(error.to_string()),
        })?;
        unreadable += page.unreadable;
        for told in page.orders {
            let version = told.version();
            let delivery = Delivery {
                webhook_id: format!("reconcile:{}:{}", told.id.expose(), version.millis()),
                topic: "reconcile".to_owned(),
            };
            let news = take_news(ctx, &installation, &delivery, told, true).await?;
            changed += usize::from(matches!(news, News::Stored | News::Applied));
            seen = seen.max(version);
        }
        next = page.next;
        if next.is_none() || ctx.now() + RESERVE >= deadline {
            break;
        }
    }
    if unreadable > 0 {
        tracing::warn!(unreadable, "orders that could not be read");
    }
    if next.is_some() {
        // Shopify's own cursor can name an order: the time says where to go on. Whole pages of one second would not get
        // anywhere; a run takes in thousands of orders.
        let order = ReconcileOrder { from: Some(seen), ..order };
        ctx.send(Queue::ReconcileShop, &order, Duration::ZERO).await?;
        store.reconciled(&installation, seen.min(began)).await?;
    } else {
        store.reconciled(&installation, began).await?;
    }
    tracing::info!(changed, "reconciled");
    Ok(())
}
