//! The mailboxes that a merchant connected: listed, connected, read now, ended. What Google is asked is `api/google-oauth`'s and
//! `jobs/sync-mailbox`'s.

use std::time::Duration;

use storeward_api::{ConnectingBody, MailboxBody, MailboxesBody};
use storeward_core::data_map::Kind;
use storeward_core::google_oauth::Verifier;
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Queue, Route, Setting,
    SyncOrder, SyncWhy, api,
};
use storeward_store::{Mailbox, MailboxState};

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/mailboxes",
        personal: true,
        needs: Permission::ViewMailboxes,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "POST /v1/mailboxes",
        personal: false,
        needs: Permission::ManageMailboxes,
        handle: |ctx, request| Box::pin(connect(ctx, request)),
    },
    Route {
        key: "DELETE /v1/mailboxes/{id}",
        personal: true,
        needs: Permission::ManageMailboxes,
        handle: |ctx, request| Box::pin(end(ctx, request)),
    },
    Route {
        key: "POST /v1/mailboxes/{id}/sync",
        personal: true,
        needs: Permission::ManageMailboxes,
        handle: |ctx, request| Box::pin(read_now(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/mailboxes",
    needs: &[&Setting::STORE, &[Setting::AppUrl, Setting::SyncMailboxQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/mailboxes", ROUTES)),
};

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let (mailboxes, now) = (ctx.store().await?.mailboxes(&request.installation).await?, ctx.now());
    ApiReply::ok(&MailboxesBody {
        mailboxes: mailboxes.iter().map(|mailbox| MailboxBody::of(mailbox, now)).collect(),
    })
}

async fn connect(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let verifier = Verifier::new(&ctx.random()?);
    let state = ctx.store().await?.begin_connecting(&request.installation, verifier.to_keep()).await?;
    // A page of ours, and not Google's: the browser that goes there gets the cookie that it has to bring back.
    ApiReply::ok(&ConnectingBody { url: ctx.google_start(&state)? })
}

async fn end(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let reference = request.record(Kind::Mailbox.name())?;
    let store = ctx.store().await?;
    if !store.end_mailbox(&request.installation, &reference).await? {
        return Err(Problem::not_found().into());
    }
    let mailbox = store.mailbox(&request.installation, &reference).await?;
    let mailbox = mailbox.ok_or_else(Problem::not_found)?;
    ask(ctx, &request, &mailbox, SyncWhy::Ended).await
}

async fn read_now(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let reference = request.record(Kind::Mailbox.name())?;
    let mailbox = ctx.store().await?.mailbox(&request.installation, &reference).await?;
    let mailbox = mailbox.ok_or_else(Problem::not_found)?;
    if mailbox.state != MailboxState::Connected {
        return Err(Problem::new(ProblemKind::MailboxNotConnected, "connect the mailbox again").into());
    }
    ask(ctx, &request, &mailbox, SyncWhy::Silent).await
}

/// Asks the job. Should the message be lost, the due row that was written with an end lets the sweep send another.
async fn ask(
    ctx: &Context,
    request: &ApiRequest,
    mailbox: &Mailbox,
    why: SyncWhy,
) -> Result<ApiReply, ApiError> {
    let tenant = request.installation.tenant.clone();
    let order = SyncOrder { tenant, mailbox: mailbox.reference.clone(), why };
    ctx.send(Queue::SyncMailbox, &order, Duration::ZERO).await?;
    ApiReply::accepted(&MailboxBody::of(mailbox, ctx.now()))
}
