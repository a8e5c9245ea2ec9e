//! News of an order on its way from the caller to the store and the queue: the webhooks that tell of changes and the
//! reconciliation share it. What news changes is the store's.

use std::time::Duration;

use storeward_core::instructions::Activity;
use storeward_core::order::Order;
use storeward_store::{Delivery, Installation, News, Plan, StoreError, Told, Written};

use crate::context::{Context, HostError, Queue};
use crate::problem::{Problem, ProblemKind};
use crate::webhook::{Answer, RefusedBecause, Webhook, WebhookError};

/// How often news is planned again while others change the same order.
const ATTEMPTS: usize = 6;

/// The handler of every topic that tells of an order after it was placed. The signed body alone says what happened: a
/// body captured from another topic does what it did there, and nothing else.
///
/// # Errors
/// A problem when the app is not installed, else what the store or the queue failed with: Shopify tries again.
pub async fn order_news(ctx: &Context, webhook: Webhook<Order>) -> Result<Answer, WebhookError> {
    let store = ctx.store().await?;
    let Some(installation) = store.installation(&webhook.shop).await? else {
        let detail = "install the app first";
        return Err(WebhookError::Problem(Problem::new(ProblemKind::NotInstalled, detail)));
    };
    if !installation.is_installed() {
        return Ok(Answer::Refused(RefusedBecause::Uninstalled));
    }
    Ok(match take_news(ctx, &installation, &webhook.delivery, webhook.body, false).await? {
        News::Stored | News::Applied => Answer::Accepted,
        News::Known => Answer::Duplicate,
        News::Stale => Answer::Refused(RefusedBecause::Stale),
        News::NotKept => Answer::NothingToDo,
        News::RefusedErased => Answer::Refused(RefusedBecause::Erased),
        News::RefusedLimited => Answer::Refused(RefusedBecause::Limited),
    })
}

/// Takes news of an order in, whoever told it. Unlike a new order's, its message is sent after it is written: the order
/// is there before, and a job that is faster than the write would match what it was.
///
/// With `asked_for` it was not a webhook that told.
///
/// # Errors
/// What the store or the queue failed with; the same delivery can be taken again.
pub async fn take_news(
    ctx: &Context,
    installation: &Installation,
    delivery: &Delivery,
    order: Order,
    asked_for: bool,
) -> Result<News, HostError> {
    let store = ctx.store().await?;
    let told = Told { enabled: installation.settings()?.allow(Activity::DetectDuplicates), asked_for };
    for _ in 0..ATTEMPTS {
        let writing = match store.plan_news(installation, delivery, order.clone(), told).await? {
            Plan::Nothing(News::Known) => {
                // The first delivery may have ended between the write and the message.
                send_open(ctx, installation, delivery).await?;
                return Ok(News::Known);
            }
            Plan::Nothing(news) => return Ok(news),
            Plan::Write(writing) => writing,
        };
        let work = writing.work().cloned();
        match store.write_news(*writing).await? {
            Written::Done(news) => {
                if let (News::Stored | News::Applied, Some(work)) = (news, work) {
                    ctx.send(Queue::MatchOrder, &work, Duration::ZERO).await?;
                }
                return Ok(news);
            }
            Written::Repeated => {
                send_open(ctx, installation, delivery).await?;
                return Ok(News::Known);
            }
            Written::Overtaken => {}
        }
    }
    Err(StoreError::Contended("an order").into())
}

async fn send_open(ctx: &Context, installation: &Installation, delivery: &Delivery) -> Result<(), HostError> {
    if let Some(work) = ctx.store().await?.open_work(installation, delivery).await? {
        ctx.send(Queue::MatchOrder, &work, Duration::ZERO).await?;
    }
    Ok(())
}
