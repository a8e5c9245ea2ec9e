//! Every hour: what should have happened by now and did not is started again. Reads due rows by their hour and
//! never scans.

use std::time::Duration;

use storeward_core::data_map::Kind;
use storeward_core::shop::ShopState;
use storeward_host::{
    Context, DeskTask, Function, Happened, HostError, Notice, PurgeOrder, Queue, RetentionOrder, Setting,
    SyncOrder, SyncWhy, schedule,
};
use storeward_store::{Action, DueRow, Store, StoreError};

/// How often one request is looked at while others change it.
const ATTEMPTS: usize = 4;

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/sweep-due",
    needs: &[
        &Setting::STORE,
        &[
            Setting::MatchOrderQueueUrl,
            Setting::NotifyMerchantQueueUrl,
            Setting::RedactSubjectQueueUrl,
            Setting::RectifySubjectQueueUrl,
            Setting::ExportSubjectQueueUrl,
            Setting::PurgeShopQueueUrl,
            Setting::ApplyRetentionQueueUrl,
            Setting::SyncMailboxQueueUrl,
            Setting::ClassifyEmailQueueUrl,
            Setting::DraftReplyQueueUrl,
            Setting::SendReplyQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/sweep-due", handle)),
};

/// Acts on every due row and says how many there were. The place to go on from is only moved when all were acted on.
///
/// # Errors
/// What the store or a queue failed with: the rows are still there at the next run.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let store = ctx.store().await?;
    let began = ctx.now();
    let due = store.due().await?;
    for row in &due {
        act(ctx, store, row).await?;
    }
    let gone_through = keep_shorter(ctx, store).await?;
    store.due_swept(began).await?;
    Ok(due.len() + gone_through)
}

/// A deployment that keeps things otherwise than the last sweep knew lets every installation be gone through: only a
/// deployment does that, so it is seldom. How many there were.
async fn keep_shorter(ctx: &Context, store: &Store) -> Result<usize, HostError> {
    if store.retention_swept().await? {
        return Ok(0);
    }
    let tenants = store.installations().await?;
    for tenant in &tenants {
        ctx.send(Queue::ApplyRetention, &RetentionOrder::at_once(tenant.clone()), Duration::ZERO).await?;
    }
    Ok(tenants.len())
}

async fn act(ctx: &Context, store: &Store, row: &DueRow) -> Result<(), HostError> {
    let state = store.state_of(&row.tenant).await?;
    let needless = match row.action {
        Action::Resend => state != Some(ShopState::Installed) && is_order(row),
        Action::SecondPass | Action::RequestDue => state.is_none(),
        Action::Digest | Action::ApplyRetention => state != Some(ShopState::Installed),
        Action::ClassifyMail | Action::DraftReply | Action::SendReply => {
            state != Some(ShopState::Installed) || !store.still_due(row).await?
        }
        // What Google has of a mailbox is ended also where the app was removed.
        Action::SyncMailbox => !store.still_due(row).await?,
        Action::Purge => state != Some(ShopState::Uninstalled),
    };
    if needless || state.is_none() {
        store.due_done(row).await?;
        return Ok(());
    }
    if row.action == Action::RequestDue {
        return watch(ctx, store, row, state == Some(ShopState::Installed)).await;
    }
    // The row moves on first: should the message be lost, the next hour sends another.
    let later = store.due_again(row).await?;
    match (row.action, &later.work) {
        (Action::Purge, _) => {
            let order = PurgeOrder { tenant: row.tenant.clone(), why: "sweep".to_owned() };
            ctx.send(Queue::PurgeShop, &order, Duration::ZERO).await
        }
        (Action::ApplyRetention, _) => {
            let order = RetentionOrder { tenant: row.tenant.clone(), from: 0, due_at: Some(later.at) };
            ctx.send(Queue::ApplyRetention, &order, Duration::ZERO).await
        }
        (Action::Digest, Some(work)) => {
            let what = Happened::Digest { due_at: work.due_at };
            let notice = Notice { tenant: row.tenant.clone(), case: work.record.clone(), what };
            ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await
        }
        (Action::SyncMailbox, Some(work)) => {
            let installed = state == Some(ShopState::Installed);
            let why = if installed { SyncWhy::Again } else { SyncWhy::Ended };
            let order = SyncOrder { tenant: row.tenant.clone(), mailbox: work.record.clone(), why };
            ctx.send(Queue::SyncMailbox, &order, Duration::ZERO).await
        }
        (Action::ClassifyMail | Action::DraftReply | Action::SendReply, Some(work)) => {
            let task = DeskTask::new(row.tenant.clone(), work.record.clone(), work.due_at);
            let queue = match row.action {
                Action::ClassifyMail => Queue::ClassifyEmail,
                Action::DraftReply => Queue::DraftReply,
                _ => Queue::SendReply,
            };
            ctx.send(queue, &task, Duration::ZERO).await
        }
        (_, Some(work)) => ctx.send(Queue::of(work.record.kind()), work, Duration::ZERO).await,
        (_, None) => store.due_done(&later).await.map_err(HostError::from),
    }
}

/// A rights request whose deadline is near or over, or whose proof is. The log, on which an alarm stands, and the merchant
/// are told before the row moves on: should anything fail in between, they are told again.
async fn watch(ctx: &Context, store: &Store, row: &DueRow, installed: bool) -> Result<(), HostError> {
    for _ in 0..ATTEMPTS {
        let Some((asked, look)) = store.look_at_request(row).await? else {
            return store.due_done(row).await.map_err(HostError::from);
        };
        if let Some(warning) = look.warning {
            let (kind, state, request) = (asked.kind.name(), asked.state.name(), &asked.reference);
            tracing::error!(%request, tenant = %row.tenant, kind, state, "a rights request is {warning}");
            if installed {
                let what = Happened::RequestDue { stage: warning.stage(), since: row.at };
                let notice = Notice { tenant: row.tenant.clone(), case: asked.reference.clone(), what };
                ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await?;
            }
        }
        if store.looked_at(row, &asked, &look).await? {
            return Ok(());
        }
    }
    Err(HostError::Store(StoreError::Contended("a request")))
}

fn is_order(row: &DueRow) -> bool {
    row.work.as_ref().is_some_and(|work| work.record.kind() == Kind::Order)
}
