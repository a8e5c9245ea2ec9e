//! Replies for the merchant's staff: read, edited, approved, cancelled, discarded. Sending is a job's.

use std::time::Duration;

use storeward_api::{DraftBody, DraftEdit};
use storeward_core::data_map::Kind;
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, DeskTask, Function, Problem, ProblemKind, Queue, Route, Setting,
    api,
};
use storeward_store::{Draft, Drafting, RecordRef};

/// The longest reply, in characters.
const LONGEST: usize = 20_000;

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/drafts/{id}",
        personal: true,
        needs: Permission::ViewThreads,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "PUT /v1/drafts/{id}",
        personal: true,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(edit(ctx, request)),
    },
    Route {
        key: "POST /v1/drafts/{id}/approve",
        personal: true,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(approve(ctx, request)),
    },
    Route {
        key: "POST /v1/drafts/{id}/cancel",
        personal: true,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(cancel(ctx, request)),
    },
    Route {
        key: "DELETE /v1/drafts/{id}",
        personal: false,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(discard(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/drafts",
    needs: &[&Setting::STORE, &[Setting::SendReplyQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/drafts", ROUTES)),
};

fn wanted(request: &ApiRequest) -> Result<RecordRef, Problem> {
    request.know(&[])?;
    request.record(Kind::Draft.name())
}

fn shown(draft: &Draft) -> Result<ApiReply, ApiError> {
    Ok(ApiReply::ok(&DraftBody::from(draft))?.at_revision(draft.revision))
}

/// The draft as it stands after a change, or why there was none.
fn came_to(drafting: Drafting) -> Result<Box<Draft>, ApiError> {
    match drafting {
        Drafting::Changed(draft) => Ok(draft),
        Drafting::Overtaken(_) => {
            let detail = "read the reply again, and decide on what it says now";
            Err(Problem::new(ProblemKind::DraftChanged, detail).into())
        }
        Drafting::Ended(state) => {
            let detail =
                format!("it is {}: have another one drafted, or write from the mailbox", state.name());
            Err(Problem::new(ProblemKind::DraftEnded, detail).into())
        }
        Drafting::Unknown => Err(Problem::not_found().into()),
    }
}

/// The revision that somebody decides on: what is sent is what was read.
fn revision(request: &ApiRequest) -> Result<i64, Problem> {
    let missing =
        || Problem::new(ProblemKind::InvalidParameter, "If-Match: send the ETag of the reply as it was read");
    request.if_match()?.ok_or_else(missing)
}

async fn read(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let draft = ctx.store().await?.draft(&request.installation, &wanted(&request)?).await?;
    shown(&draft.ok_or_else(Problem::not_found)?)
}

async fn edit(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let (reference, revision) = (wanted(&request)?, revision(&request)?);
    let DraftEdit { text } = request.body()?;
    if text.expose().trim().is_empty() || text.expose().chars().count() > LONGEST {
        let detail = format!("text: write 1 to {LONGEST} characters");
        return Err(Problem::new(ProblemKind::InvalidBody, detail).into());
    }
    let store = ctx.store().await?;
    let edited = store.edit_draft(&request.installation, &reference, &text, revision).await?;
    shown(&*came_to(edited)?)
}

/// Lets a reply be sent as it was read. Asking again asks the job again, which sends it once.
async fn approve(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let (reference, revision) = (wanted(&request)?, revision(&request)?);
    let store = ctx.store().await?;
    let draft = came_to(store.approve_draft(&request.installation, &reference, revision).await?)?;
    let due_at = draft.due_at.unwrap_or_else(|| ctx.now());
    let task = DeskTask::new(request.installation.tenant.clone(), draft.reference.clone(), due_at);
    ctx.send(Queue::SendReply, &task, Duration::ZERO).await?;
    shown(&draft)
}

async fn cancel(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let reference = wanted(&request)?;
    let cancelled = ctx.store().await?.cancel_draft(&request.installation, &reference).await?;
    shown(&*came_to(cancelled)?)
}

async fn discard(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let reference = wanted(&request)?;
    came_to(ctx.store().await?.discard_draft(&request.installation, &reference).await?)?;
    Ok(ApiReply::nothing())
}
