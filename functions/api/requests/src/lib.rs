//! Rights requests as a merchant opens and follows them, and the links to what was put together. Carrying them out is the
//! jobs'; fetching by a link is `api/exports`'.

use std::time::Duration;

use storeward_api::{LinkBody, OpenRequest, RequestBody, RequestsBody};
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind, RightsState};
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Queue, Route, Setting, api,
};
use storeward_store::{Asking, Linking, Outcome, RequestFilter};

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "POST /v1/requests",
        personal: false,
        needs: Permission::ManageRights,
        handle: |ctx, request| Box::pin(open(ctx, request)),
    },
    Route {
        key: "GET /v1/requests",
        personal: false,
        needs: Permission::ViewRights,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "GET /v1/requests/{id}",
        personal: false,
        needs: Permission::ViewRights,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "POST /v1/requests/{id}/link",
        personal: true,
        needs: Permission::ManageRights,
        handle: |ctx, request| Box::pin(link(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/requests",
    needs: &[
        &Setting::STORE,
        &[
            Setting::RedactSubjectQueueUrl,
            Setting::RectifySubjectQueueUrl,
            Setting::ExportSubjectQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/requests", ROUTES)),
};

/// What a merchant asks for, if it can be found and done.
fn asking(body: OpenRequest) -> Result<Asking, Problem> {
    let incomplete = |detail: &str| Problem::new(ProblemKind::RequestIncomplete, detail);
    let person = Person { customer: body.customer_id, email: body.email, phone: body.phone };
    if !person.is_findable() {
        let detail =
            "give email, phone (with the country, like +12025550143) or customer_id, each as it should be";
        return Err(incomplete(detail));
    }
    let corrections = body
        .corrections
        .map(|right| Corrections { email: right.email, phone: right.phone })
        .unwrap_or_default();
    let wanted = body.kind == RightsKind::Rectification;
    if wanted && !corrections.are_usable() {
        return Err(incomplete(
            "give corrections: the right email, the right phone (with the country), or both",
        ));
    }
    if !wanted && corrections != Corrections::default() {
        return Err(incomplete("corrections belong to a rectification: leave them out or ask for one"));
    }
    Ok(Asking { kind: body.kind, by: OpenedBy::Merchant, person, corrections })
}

async fn open(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let (asking, installation) = (asking(request.body()?)?, &request.installation);
    let name = match request.idempotency_key()? {
        Some(key) => key.to_owned(),
        None => hex::encode(ctx.random()?),
    };
    let store = ctx.store().await?;
    let acceptance = store.open_request(installation, &name, &asking)?;
    let work = acceptance.work().clone();
    // Where it was asked for in other words under the same name, this is the first one's work, and harmless.
    let queue = Queue::of(work.record.kind());
    let (written, sent) = tokio::join!(store.commit(acceptance), ctx.send(queue, &work, Duration::ZERO));
    if matches!(written?, Outcome::RefusedErased | Outcome::RefusedLimited) {
        return Err(Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into());
    }
    let Some(asked) = store.asked_as(installation, OpenedBy::Merchant, &name).await? else {
        return Err(Problem::new(ProblemKind::Unavailable, "send it again").into());
    };
    if !asked.is_same(installation, &asking) {
        let detail = "choose another Idempotency-Key for another request";
        return Err(Problem::new(ProblemKind::IdempotencyKeyUsed, detail).into());
    }
    // Should the message be lost, the sweep sends another within the hour: the caller may as well repeat it.
    sent?;
    ApiReply::accepted(&RequestBody::of(&asked, ctx.now()))
}

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["state", "limit", "cursor"])?;
    let state = match request.parameter("state") {
        None => None,
        Some(name) => {
            let known = RightsState::ALL.into_iter().find(|state| state.name() == name);
            let names: Vec<&str> = RightsState::ALL.into_iter().map(RightsState::name).collect();
            let wrong =
                || Problem::new(ProblemKind::InvalidParameter, format!("state: one of {}", names.join(", ")));
            Some(known.ok_or_else(wrong)?)
        }
    };
    let limit = request.number("limit", 20, 100)?;
    let (filter, cursor) = (RequestFilter { state }, request.parameter("cursor"));
    let page = ctx.store().await?.list_requests(&request.installation, &filter, cursor, limit).await?;
    let wrong = || {
        let detail = "cursor: send the `next` of the page before, with the same filter";
        Problem::new(ProblemKind::InvalidParameter, detail)
    };
    let page = page.ok_or_else(wrong)?;
    let now = ctx.now();
    let requests = page.requests.iter().map(|asked| RequestBody::of(asked, now)).collect();
    ApiReply::ok(&RequestsBody { requests, next: page.next })
}

async fn read(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let reference = request.record("request")?;
    let asked = ctx.store().await?.asked(&request.installation.tenant, &reference).await?;
    let asked = asked.ok_or_else(Problem::not_found)?;
    ApiReply::ok(&RequestBody::of(&asked, ctx.now()))
}

async fn link(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let reference = request.record("request")?;
    match ctx.store().await?.link_export(&request.installation, &reference).await? {
        Linking::Made { token, until, pieces } => ApiReply::ok(&LinkBody::of(&token, until, pieces)),
        Linking::Unknown => Err(Problem::not_found().into()),
        Linking::NotReady(state) => {
            let detail = match state {
                RightsState::Proving | RightsState::Received | RightsState::InWork => {
                    "it is not put together yet: look at its state and ask again"
                }
                RightsState::Ready | RightsState::Done | RightsState::Refused => {
                    "nothing is kept for it, or nothing ever was: open a request for access"
                }
            };
            Err(Problem::new(ProblemKind::NothingToFetch, detail).into())
        }
    }
}
