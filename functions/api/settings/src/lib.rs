//! The settings of the duplicate guard: read, replaced, and tried on orders that are stored already; and what the merchant
//! lets be done at all. What a setting does is `core`'s.

use std::time::Duration;

use storeward_api::{
    InstructionsBody, InstructionsRequest, PreviewBody, PreviewExample, PreviewRequest, PreviewResult,
    SettingsBody,
};
use storeward_core::guard::GuardSettings;
use storeward_core::matching::Side;
use storeward_core::order::Order;
use storeward_core::preview;
use storeward_core::roles::Permission;
use storeward_core::time::DAY;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Route, Setting, api,
};
use storeward_store::Sample;

/// How far back a preview looks: as far as matching rows do.
const DAYS: u32 = 30;

/// How many orders a preview looks at.
const ORDERS: usize = 500;

/// How many cases a preview names.
const EXAMPLES: usize = 10;

/// What is left of the function's time for comparing and answering when reading stops.
const REST: Duration = Duration::from_secs(15);

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/settings",
        personal: false,
        needs: Permission::ViewSettings,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "PUT /v1/settings",
        personal: false,
        needs: Permission::ChangeSettings,
        handle: |ctx, request| Box::pin(replace(ctx, request)),
    },
    Route {
        key: "POST /v1/settings/preview",
        personal: true,
        needs: Permission::TrySettings,
        handle: |ctx, request| Box::pin(try_on(ctx, request)),
    },
    Route {
        key: "GET /v1/instructions",
        personal: false,
        needs: Permission::ViewPrivacy,
        handle: |ctx, request| Box::pin(instructions(ctx, request)),
    },
    Route {
        key: "PUT /v1/instructions",
        personal: false,
        needs: Permission::ChangePrivacy,
        handle: |ctx, request| Box::pin(instruct(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/settings",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/settings", ROUTES)),
};

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn read(_ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    ApiReply::ok(&SettingsBody::from(request.installation.settings()?))
}

fn checked(body: SettingsBody) -> Result<GuardSettings, Problem> {
    let settings = GuardSettings::from(body);
    let bounds = settings.check();
    bounds.map_err(|bound| Problem::new(ProblemKind::SettingOutOfBounds, bound.to_string()))?;
    Ok(settings)
}

async fn replace(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let settings = checked(request.body()?)?;
    if !ctx.store().await?.change_settings(&request.installation, &settings).await? {
        return Err(Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into());
    }
    ApiReply::ok(&SettingsBody::from(settings))
}

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn instructions(_ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    ApiReply::ok(&InstructionsBody::from(&request.installation.settings()?))
}

async fn instruct(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let InstructionsRequest { activities } = request.body()?;
    match ctx.store().await?.change_instructions(&request.installation, &activities).await? {
        Some(settings) => ApiReply::ok(&InstructionsBody::from(&settings)),
        None => Err(Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into()),
    }
}

async fn try_on(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let body: PreviewRequest = request.body()?;
    let (proposed, current) = (checked(body.settings)?, request.installation.settings()?);
    let store = ctx.store().await?;
    let time_left = || ctx.now() + REST < request.deadline;
    let Sample { orders, sides, complete } =
        store.sample(&request.installation, ctx.now() - DAY * DAYS, ORDERS, &time_left).await?;
    // Exceptions are asked for once, for the orders that either choice would flag.
    let mut flagged: Vec<usize> = [&proposed, &current]
        .into_iter()
        .flat_map(|settings| preview::clusters(&sides, settings, |_, _| false))
        .flat_map(|cluster| cluster.places)
        .collect();
    flagged.sort_unstable();
    flagged.dedup();
    let among: Vec<&Order> = flagged.iter().map(|place| &orders[*place]).collect();
    let together = store.excepted_among(&request.installation, &among).await?;
    let excepted = |a: usize, b: usize| match (flagged.binary_search(&a), flagged.binary_search(&b)) {
        (Ok(a), Ok(b)) => together(a, b),
        _ => false,
    };
    ApiReply::ok(&PreviewBody {
        orders: orders.len(),
        days: DAYS,
        complete,
        proposed: result(&orders, &sides, &proposed, &excepted),
        current: result(&orders, &sides, &current, &excepted),
    })
}

fn result(
    orders: &[Order],
    sides: &[Side],
    settings: &GuardSettings,
    excepted: &dyn Fn(usize, usize) -> bool,
) -> PreviewResult {
    let mut clusters = preview::clusters(sides, settings, excepted);
    // The orders are in their order of time: the latest case is the one with the latest order.
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.places.last().copied()));
    let name = |place: &usize| orders[*place].name.as_ref().map(|name| name.expose().clone());
    let examples = clusters.iter().take(EXAMPLES).map(|cluster| PreviewExample {
        orders: cluster.places.iter().filter_map(name).collect(),
        reasons: cluster.reasons.iter().copied().map(Into::into).collect(),
    });
    PreviewResult {
        cases: clusters.len(),
        orders: clusters.iter().map(|cluster| cluster.places.len()).sum(),
        examples: examples.collect(),
    }
}
