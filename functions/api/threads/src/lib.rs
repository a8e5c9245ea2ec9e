//! Conversations for the merchant's staff: listed, read, sorted, and answered anew. What a change means is the store's.

use std::time::Duration;

use storeward_api::{
    DraftBody, DraftingBody, MailBody, ThreadBody, ThreadEdit, ThreadsBody, WholeThreadBody,
};
use storeward_core::data_map::Kind;
use storeward_core::intent::Intent;
use storeward_core::personal::Personal;
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, DeskTask, Function, Problem, ProblemKind, Queue, Route, Setting,
    api,
};
use storeward_store::{AnotherDraft, RecordRef, Thread, ThreadChange, ThreadFilter, ThreadState};

/// The most labels that one change gives or takes, and the longest.
const MOST_LABELS: usize = 20;
const LONGEST_LABEL: usize = 200;

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/threads",
        personal: true,
        needs: Permission::ViewThreads,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "GET /v1/threads/{id}",
        personal: true,
        needs: Permission::ViewThreads,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "PATCH /v1/threads/{id}",
        personal: true,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(change(ctx, request)),
    },
    Route {
        key: "POST /v1/threads/{id}/draft",
        personal: false,
        needs: Permission::AnswerThreads,
        handle: |ctx, request| Box::pin(draft(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/threads",
    needs: &[&Setting::STORE, &[Setting::DraftReplyQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/threads", ROUTES)),
};

/// A word of the query among those there are.
fn word<T: Copy>(
    request: &ApiRequest,
    parameter: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(given) = request.parameter(parameter) else { return Ok(None) };
    let wrong = || {
        let words: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        let detail = format!("{parameter}: choose one of {}", words.join(", "));
        Problem::new(ProblemKind::InvalidParameter, detail)
    };
    all.iter().copied().find(|one| name(*one) == given).map(Some).ok_or_else(wrong)
}

fn mailbox(request: &ApiRequest) -> Result<Option<RecordRef>, Problem> {
    let Some(id) = request.parameter("mailbox") else { return Ok(None) };
    let wrong =
        |_| Problem::new(ProblemKind::InvalidParameter, "mailbox: send the id of a mailbox of the list");
    format!("{}/{id}", Kind::Mailbox.name()).parse().map(Some).map_err(wrong)
}

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["state", "intent", "mailbox", "since", "until", "limit", "cursor"])?;
    let filter = ThreadFilter {
        state: word(&request, "state", &ThreadState::ALL, ThreadState::name)?,
        intent: word(&request, "intent", &Intent::ALL, Intent::name)?,
        mailbox: mailbox(&request)?,
        since: request.time("since")?,
        until: request.time("until")?,
        ..ThreadFilter::default()
    };
    let limit = request.number("limit", 20, 100)?;
    let store = ctx.store().await?;
    let page = store.threads(&request.installation, &filter, request.parameter("cursor"), limit).await?;
    let wrong = || {
        let detail = "cursor: send the `next` of the page before with the same filter, or begin without one";
        Problem::new(ProblemKind::InvalidParameter, detail)
    };
    let page = page.ok_or_else(wrong)?;
    ApiReply::ok(&ThreadsBody {
        threads: page.threads.iter().map(ThreadBody::from).collect(),
        next: page.next,
    })
}

fn wanted(request: &ApiRequest) -> Result<RecordRef, Problem> {
    request.know(&[])?;
    request.record(Kind::Thread.name())
}

async fn found(ctx: &Context, request: &ApiRequest) -> Result<Thread, ApiError> {
    let thread = ctx.store().await?.thread(&request.installation, &wanted(request)?).await?;
    Ok(thread.ok_or_else(Problem::not_found)?)
}

async fn read(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let thread = found(ctx, &request).await?;
    let store = ctx.store().await?;
    let (mails, drafts) = futures::try_join!(
        store.mails_of(&request.installation, &thread),
        store.drafts_of(&request.installation, &thread),
    )?;
    let body = WholeThreadBody {
        thread: ThreadBody::from(&thread),
        mails: mails.iter().map(MailBody::from).collect(),
        drafts: drafts.iter().map(DraftBody::from).collect(),
    };
    Ok(ApiReply::ok(&body)?.at_revision(thread.revision))
}

/// That a change can be made: labels that can be read, and a member of this shop's staff.
fn checked(request: &ApiRequest, edit: ThreadEdit) -> Result<ThreadChange, Problem> {
    let invalid = |detail: &str| Problem::new(ProblemKind::InvalidBody, detail);
    for labels in [&edit.add_labels, &edit.remove_labels] {
        let plain = |label: &String| {
            !label.trim().is_empty()
                && label.chars().count() <= LONGEST_LABEL
                && !label.chars().any(char::is_control)
        };
        if labels.len() > MOST_LABELS || !labels.iter().all(plain) {
            return Err(invalid("add_labels, remove_labels: at most 20 labels of 1 to 200 characters"));
        }
    }
    let known = |id: &String| request.members.list().iter().any(|member| member.id == *id);
    if edit.assignee.iter().flatten().any(|id| !known(id)) {
        return Err(invalid("assignee: send the id of a member of the list, or null"));
    }
    if edit.state == Some(ThreadState::Answered) {
        return Err(invalid("state: choose open, closed or ignored; a conversation is answered by a mail"));
    }
    Ok(ThreadChange {
        state: edit.state,
        assignee: edit.assignee.map(|assignee| assignee.map(Personal::new)),
        add_labels: edit.add_labels,
        remove_labels: edit.remove_labels,
        escalated: edit.escalated,
    })
}

async fn change(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let reference = wanted(&request)?;
    let change = checked(&request, request.body()?)?;
    let changed = ctx.store().await?.change_thread(&request.installation, &reference, &change).await?;
    let thread = changed.ok_or_else(Problem::not_found)?;
    Ok(ApiReply::ok(&ThreadBody::from(&thread))?.at_revision(thread.revision))
}

/// A reply to the latest mail that a customer wrote, drafted anew. What a person wrote stays.
async fn draft(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let reference = wanted(&request)?;
    match ctx.store().await?.ask_for_draft(&request.installation, &reference).await? {
        AnotherDraft::Asked { mail, due_at } => {
            let task = DeskTask::new(request.installation.tenant.clone(), mail.clone(), due_at);
            ctx.send(Queue::DraftReply, &task, Duration::ZERO).await?;
            ApiReply::accepted(&DraftingBody { mail: mail.id().to_owned() })
        }
        AnotherDraft::Edited => {
            let detail = "somebody wrote in a reply: discard it first, or send it";
            Err(Problem::new(ProblemKind::DraftChanged, detail).into())
        }
        AnotherDraft::NothingToAnswer => {
            let detail = "wait for the customer's answer, or until the latest mail was understood";
            Err(Problem::new(ProblemKind::NothingToAnswer, detail).into())
        }
        AnotherDraft::Unknown => Err(Problem::not_found().into()),
    }
}
