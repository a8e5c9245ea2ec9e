//! For operators: rights requests of people who wrote to us. Opened for a shop, they wait for the code that goes to the
//! address on file; the answer is the same whether the shop knows the address or not. Then they take the merchants' path. Of a
//! shop that removed the app an answer is fetched by a link from here, until its purge: its merchant can make none.

use std::time::Duration;

use serde::Deserialize;
use storeward_api::{LinkBody, OpenRequest, RequestBody, RequestsBody};
use storeward_core::personal::Personal;
use storeward_core::rights::{Corrections, OpenedBy, Person, RightsKind, is_proof_code};
use storeward_core::roles::OperatorPermission;
use storeward_host::{
    ApiError, ApiReply, Context, Function, Happened, Notice, OperatorRequest, OperatorRoute, Problem,
    ProblemKind, Queue, Setting, operator_api,
};
use storeward_store::{Asked, Asking, Linking, Outcome, Proof, RequestFilter};

/// The function's routes.
pub const ROUTES: &[OperatorRoute] = &[
    OperatorRoute {
        key: "POST /operator/v1/shops/{shop}/requests",
        personal: false,
        needs: OperatorPermission::ManageRights,
        handle: |ctx, request| Box::pin(open(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/shops/{shop}/requests",
        personal: false,
        needs: OperatorPermission::ViewRights,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/shops/{shop}/requests/{id}",
        personal: false,
        needs: OperatorPermission::ViewRights,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    // Both steps are one route of the gateway's, of which a stack can have only so many. What a link leads to is personal.
    OperatorRoute {
        key: "POST /operator/v1/shops/{shop}/requests/{id}/{step}",
        personal: true,
        needs: OperatorPermission::ManageRights,
        handle: |ctx, request| Box::pin(carry_on(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "operator/rights",
    needs: &[
        &Setting::STORE,
        &[
            Setting::NotifyMerchantQueueUrl,
            Setting::RedactSubjectQueueUrl,
            Setting::RectifySubjectQueueUrl,
            Setting::ExportSubjectQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(operator_api(ctx, invocation, "operator/rights", ROUTES)),
};

/// What a person wrote, if it can be proven and done.
fn asking(body: OpenRequest) -> Result<Asking, Problem> {
    let incomplete = |detail: &str| Problem::new(ProblemKind::RequestIncomplete, detail);
    let person = Person { customer: body.customer_id, email: body.email, phone: body.phone };
    if person.email.is_none() || person.customer.is_some() || person.phone.is_some() || !person.is_findable()
    {
        // What else they say they are would be done on the word of whoever has the mailbox.
        return Err(incomplete(
            "give the e-mail address that the person wrote of, and nothing else: it is what is proven",
        ));
    }
    let corrections = body
        .corrections
        .map(|right| Corrections { email: right.email, phone: right.phone })
        .unwrap_or_default();
    let wanted = body.kind == RightsKind::Rectification;
    if wanted && !corrections.are_usable() || !wanted && corrections != Corrections::default() {
        return Err(incomplete(
            "give corrections (email, phone or both) for a rectification, and for nothing else",
        ));
    }
    Ok(Asking { kind: body.kind, by: OpenedBy::Operator, person, corrections })
}

async fn open(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let asking = asking(request.body()?)?;
    let installation = request.installation(ctx).await?;
    let name = match request.idempotency_key()? {
        Some(key) => key.to_owned(),
        None => hex::encode(ctx.random()?),
    };
    let store = ctx.store().await?;
    let acceptance = store.open_request(&installation, &name, &asking)?;
    let reference = acceptance.work().record.clone();
    if matches!(store.commit(acceptance).await?, Outcome::RefusedErased | Outcome::RefusedLimited) {
        return Err(Problem::not_found().into());
    }
    let asked =
        store.asked_as(&installation, OpenedBy::Operator, &name).await?.ok_or_else(Problem::not_found)?;
    if !asked.is_same(&installation, &asking) {
        let detail = "choose another Idempotency-Key for another request";
        return Err(Problem::new(ProblemKind::IdempotencyKeyUsed, detail).into());
    }
    // Whether there is anybody to write to is looked up elsewhere: nothing here, not even the time, tells.
    let notice = Notice { tenant: installation.tenant.clone(), case: reference, what: Happened::Proof };
    ctx.send(Queue::NotifyMerchant, &notice, Duration::ZERO).await?;
    ApiReply::accepted(&RequestBody::of(&asked, ctx.now()))
}

async fn list(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&["limit", "cursor"])?;
    let installation = request.installation(ctx).await?;
    let limit = request.number("limit", 20, 100)?;
    let (filter, cursor) = (RequestFilter::default(), request.parameter("cursor"));
    let page = ctx.store().await?.list_requests(&installation, &filter, cursor, limit).await?;
    let wrong = || Problem::new(ProblemKind::InvalidParameter, "cursor: send the `next` of the page before");
    let page = page.ok_or_else(wrong)?;
    let now = ctx.now();
    let requests = page.requests.iter().map(|asked| RequestBody::of(asked, now)).collect();
    ApiReply::ok(&RequestsBody { requests, next: page.next })
}

async fn read(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let installation = request.installation(ctx).await?;
    let asked = ctx.store().await?.asked(&installation.tenant, &request.record("request")?).await?;
    ApiReply::ok(&RequestBody::of(&asked.ok_or_else(Problem::not_found)?, ctx.now()))
}

async fn carry_on(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    match request.path("step") {
        "proof" => prove(ctx, request).await,
        "link" => link(ctx, request).await,
        _ => Err(Problem::not_found().into()),
    }
}

/// A link to what was put together, for a shop whose merchant can make none any more.
async fn link(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let (installation, reference) = (request.installation(ctx).await?, request.record("request")?);
    let nothing = |detail: &str| Err(Problem::new(ProblemKind::NothingToFetch, detail).into());
    if installation.is_installed() {
        return nothing("the app is installed: its merchant makes the link (POST /v1/requests/{id}/link)");
    }
    match ctx.store().await?.link_export(&installation, &reference).await? {
        Linking::Made { token, until, pieces } => ApiReply::ok(&LinkBody::of(&token, until, pieces)),
        Linking::Unknown => Err(Problem::not_found().into()),
        Linking::NotReady(_) => nothing("look at its state: it has no document, or not yet, or not any more"),
    }
}

/// The code that the person answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofRequest {
    code: Personal<String>,
}

async fn prove(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let ProofRequest { code } = request.body()?;
    if !is_proof_code(code.expose()) {
        return Err(Problem::new(ProblemKind::InvalidBody, "code: send the six digits of the mail").into());
    }
    let (installation, reference) = (request.installation(ctx).await?, request.record("request")?);
    let store = ctx.store().await?;
    match store.prove_request(&installation, &reference, code.expose()).await? {
        Proof::Given(work) => {
            // Should this be lost, the due row that was written with the proof brings it back within the hour.
            ctx.send(Queue::of(work.record.kind()), &work, Duration::ZERO).await?;
        }
        Proof::GivenBefore => {}
        Proof::Wrong => {
            return Err(unproven("it is not the code of the mail: ask the person to read it again"));
        }
        Proof::Over => {
            return Err(unproven(
                "no code counts for it any more: open another request, and another code is sent",
            ));
        }
    }
    let asked: Option<Asked> = store.asked(&installation.tenant, &reference).await?;
    ApiReply::ok(&RequestBody::of(&asked.ok_or_else(Problem::not_found)?, ctx.now()))
}

fn unproven(detail: &str) -> ApiError {
    Problem::new(ProblemKind::NotProven, detail).into()
}
