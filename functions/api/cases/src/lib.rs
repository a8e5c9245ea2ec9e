//! Cases for the merchant: listed, read, decided on, looked at again, deleted. What a decision means is the store's.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use storeward_api::{CaseBody, CasesBody, DecisionRequest, RecheckBody};
use storeward_core::data_map::Kind;
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Happened, Notice, Problem, ProblemKind, Queue, Route,
    Setting, api,
};
use storeward_store::{Case, CaseFilter, CaseState, Deciding, Deleting, Recheck, RecordRef};

/// Messages that are sent side by side.
const AT_ONCE: usize = 8;

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/cases",
        personal: true,
        needs: Permission::ViewCases,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "GET /v1/cases/{id}",
        personal: true,
        needs: Permission::ViewCases,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "POST /v1/cases/{id}/decision",
        personal: true,
        needs: Permission::DecideCases,
        handle: |ctx, request| Box::pin(decide(ctx, request)),
    },
    Route {
        key: "POST /v1/cases/{id}/recheck",
        personal: false,
        needs: Permission::DecideCases,
        handle: |ctx, request| Box::pin(recheck(ctx, request)),
    },
    Route {
        key: "DELETE /v1/cases/{id}",
        personal: false,
        needs: Permission::DeleteCases,
        handle: |ctx, request| Box::pin(delete(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/cases",
    needs: &[&Setting::STORE, &[Setting::MatchOrderQueueUrl, Setting::NotifyMerchantQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/cases", ROUTES)),
};

fn state(request: &ApiRequest) -> Result<Option<CaseState>, Problem> {
    let shown = || CaseState::ALL.into_iter().filter(|state| *state != CaseState::Merged);
    let Some(word) = request.parameter("state") else { return Ok(None) };
    let wrong = || {
        let words: Vec<&str> = shown().map(CaseState::name).collect();
        Problem::new(ProblemKind::InvalidParameter, format!("state: choose one of {}", words.join(", ")))
    };
    shown().find(|state| state.name() == word).map(Some).ok_or_else(wrong)
}

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["state", "since", "until", "limit", "cursor"])?;
    let filter =
        CaseFilter { state: state(&request)?, since: request.time("since")?, until: request.time("until")? };
    let limit = request.number("limit", 20, 100)?;
    let store = ctx.store().await?;
    let cursor = request.parameter("cursor");
    let page = store.list_cases(&request.installation, &filter, cursor, limit).await?;
    let wrong = || {
        let detail = "cursor: send the `next` of the page before with the same filter, or begin without one";
        Problem::new(ProblemKind::InvalidParameter, detail)
    };
    let page = page.ok_or_else(wrong)?;
    ApiReply::ok(&CasesBody { cases: page.cases.iter().map(CaseBody::from).collect(), next: page.next })
}

fn wanted(request: &ApiRequest) -> Result<RecordRef, Problem> {
    request.know(&[])?;
    request.record(Kind::Case.name())
}

async fn found(ctx: &Context, request: &ApiRequest) -> Result<Case, ApiError> {
    let case = ctx.store().await?.case(&request.installation, &wanted(request)?).await?;
    Ok(case.ok_or_else(Problem::not_found)?)
}

fn shown(case: &Case) -> Result<ApiReply, ApiError> {
    Ok(ApiReply::ok(&CaseBody::from(case))?.at_revision(case.revision()))
}

async fn read(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    shown(&found(ctx, &request).await?)
}

async fn decide(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let (reference, revision) = (wanted(&request)?, request.if_match()?);
    let DecisionRequest { decision } = request.body()?;
    let problem = |kind, detail: &str| Err(Problem::new(kind, detail).into());
    match ctx.store().await?.decide(&request.installation, &reference, decision, revision).await? {
        // Also when it was decided before: that try may have ended before anyone was told.
        Deciding::Decided(case) | Deciding::Unchanged(case) => {
            let tenant = request.installation.tenant.clone();
            let notice = Notice { tenant, case: case.reference.clone(), what: Happened::Decided };
            ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await?;
            shown(&case)
        }
        Deciding::Missing => Err(Problem::not_found().into()),
        Deciding::Changed => {
            problem(ProblemKind::CaseChanged, "read the case again, and decide on what it is now")
        }
        Deciding::Anonymised => {
            problem(ProblemKind::CaseNotDecidable, "nothing: the people of the case were erased")
        }
        Deciding::NothingToExcept => problem(ProblemKind::NothingToExcept, "dismiss the case instead"),
        Deciding::TooLarge => problem(ProblemKind::CaseTooLarge, "dismiss the case instead"),
    }
}

async fn recheck(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let case = found(ctx, &request).await?;
    let references: Vec<RecordRef> = case.members.iter().map(|member| member.order.clone()).collect();
    let orders = ctx.store().await?.orders(&request.installation, &references).await?;
    let tenant = &request.installation.tenant;
    stream::iter(&orders)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |order| async move {
            let again = Recheck { tenant: tenant.clone(), record: order.reference.clone() };
            ctx.send(Queue::MatchOrder, &again, Duration::ZERO).await
        })
        .await?;
    ApiReply::accepted(&RecheckBody { orders: orders.len() })
}

async fn delete(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let reference = wanted(&request)?;
    match ctx.store().await?.delete_case(&request.installation, &reference).await? {
        Deleting::Deleted => Ok(ApiReply::nothing()),
        Deleting::Missing => Err(Problem::not_found().into()),
        Deleting::NotResolved => {
            Err(Problem::new(ProblemKind::CaseNotResolved, "confirm or dismiss the case first").into())
        }
    }
}
