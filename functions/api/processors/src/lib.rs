//! The sub-processors as a merchant sees them: who gets what for what, what is going to change and since when it is known,
//! and objecting to one. What may be sent is decided by the gate, from the same declaration.

use storeward_api::{ProcessorBody, ProcessorUseBody, ProcessorsBody, UseState};
use storeward_core::data_map::Processor;
use storeward_core::egress::{DeclaredUse, InForce, Refusal, Stance, SubProcessor};
use storeward_core::roles::Permission;
use storeward_core::time::Timestamp;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Route, Setting, api,
};

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/processors",
        personal: false,
        needs: Permission::ViewPrivacy,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "POST /v1/processors/acknowledgement",
        personal: false,
        needs: Permission::ChangePrivacy,
        handle: |ctx, request| Box::pin(acknowledge(ctx, request)),
    },
    Route {
        key: "POST /v1/processors/{name}/objection",
        personal: false,
        needs: Permission::ChangePrivacy,
        handle: |ctx, request| Box::pin(objection(ctx, request, true)),
    },
    Route {
        key: "DELETE /v1/processors/{name}/objection",
        personal: false,
        needs: Permission::ChangePrivacy,
        handle: |ctx, request| Box::pin(objection(ctx, request, false)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/processors",
    needs: &[&Setting::STORE, &[Setting::SyncMailboxQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/processors", ROUTES)),
};

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let (stance, now) = (request.installation.stance(), ctx.now());
    let processors = ctx.register().processors.iter().map(|declared| shown(declared, &stance, now)).collect();
    ApiReply::ok(&ProcessorsBody { processors })
}

/// The merchant read of all that is announced: the notice period begins, where it has not by mail.
async fn acknowledge(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let (store, stance) = (ctx.store().await?, request.installation.stance());
    let since = request.installation.tenant.generation.since();
    for announced in ctx.register().announcements(ctx.now()) {
        let concerns = !ctx.register().announced(announced, since).is_empty();
        if concerns
            && !stance.told.contains_key(&announced)
            && !store.told_of_change(&request.installation, announced, "acknowledgement").await?
        {
            return Err(not_installed().into());
        }
    }
    Ok(ApiReply::nothing())
}

async fn objection(ctx: &Context, request: ApiRequest, objects: bool) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let named = Processor::named(request.path("name")).and_then(|processor| ctx.register().of(processor));
    let declared = named.ok_or_else(Problem::not_found)?;
    if objects && declared.essential {
        let detail = format!(
            "without {} {}: to object, uninstall the app; everything is deleted then",
            declared.name, declared.without
        );
        return Err(Problem::new(ProblemKind::ProcessorEssential, detail).into());
    }
    let store = ctx.store().await?;
    if !store.object(&request.installation, declared.processor, objects).await? {
        return Err(not_installed().into());
    }
    if objects && declared.processor == Processor::Google {
        ctx.end_every_mailbox(&request.installation).await?;
    }
    let latest = store.tenant(&request.installation.tenant).await?;
    let stance = latest.map(|latest| latest.stance()).unwrap_or_default();
    ApiReply::ok(&shown(declared, &stance, ctx.now()))
}

fn not_installed() -> Problem {
    Problem::new(ProblemKind::NotInstalled, "install the app in this shop first")
}

fn shown(declared: &SubProcessor, stance: &Stance, now: Timestamp) -> ProcessorBody {
    let objected = stance.objections.get(&declared.processor);
    ProcessorBody {
        id: declared.processor.name().to_owned(),
        name: declared.name.to_owned(),
        essential: declared.essential,
        without: declared.without.to_owned(),
        objected_at: objected.map(|at| at.to_rfc3339()),
        uses: declared.uses.iter().map(|used| used_for(used, stance, now)).collect(),
    }
}

fn used_for(used: &DeclaredUse, stance: &Stance, now: Timestamp) -> ProcessorUseBody {
    let change = match used.in_force {
        InForce::Since(change) => Some(change),
        InForce::FromTheStart | InForce::NotYet => None,
    };
    let (state, from) = match used.in_force(stance, now) {
        Ok(()) => (UseState::InForce, None),
        Err(Refusal::NotInForce(from)) => (UseState::Announced, from),
        Err(_) => (UseState::NotInUse, None),
    };
    ProcessorUseBody {
        purpose: used.purpose.name().to_owned(),
        about: used.purpose.about().to_owned(),
        categories: used.categories.iter().map(|category| category.name().to_owned()).collect(),
        region: used.region.to_owned(),
        state,
        announced_at: change.map(|change| change.announced().to_rfc3339()),
        effective_at: change.map(|change| change.effective().to_rfc3339()),
        told_at: change.and_then(|change| stance.told.get(&change.announced())).map(|at| at.to_rfc3339()),
        in_force_from: from.map(Timestamp::to_rfc3339),
    }
}
