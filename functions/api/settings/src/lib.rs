//! The settings of the duplicate guard: read, changed, and tried on orders that are stored already; what the merchant lets
//! be done at all; and how long things are kept, which a merchant can shorten. What a setting does is `core`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use storeward_api::{
    InstructionsBody, InstructionsRequest, PreviewBody, PreviewExample, PreviewRequest, PreviewResult,
    RetentionBody, RetentionRequest, RetentionWindow, SettingsBody,
};
use storeward_core::guard::GuardSettings;
use storeward_core::instructions::{Activity, DeskActivity, Instruction};
use storeward_core::matching::Side;
use storeward_core::order::Order;
use storeward_core::preview;
use storeward_core::retention::{CHOSEN, Choice, RetentionError, RetentionPolicy};
use storeward_core::roles::Permission;
use storeward_core::time::DAY;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Queue, RetentionOrder, Route,
    Setting, api,
};
use storeward_store::{Choosing, Installation, Sample, Store};

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
        key: "GET /v1/retention",
        personal: false,
        needs: Permission::ViewPrivacy,
        handle: |ctx, request| Box::pin(read_retention(ctx, request)),
    },
    Route {
        key: "PUT /v1/retention",
        personal: false,
        needs: Permission::ChangePrivacy,
        handle: |ctx, request| Box::pin(choose_retention(ctx, request)),
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
    needs: &[&Setting::STORE, &[Setting::ApplyRetentionQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/settings", ROUTES)),
};

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn read(_ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    ApiReply::ok(&SettingsBody::from(request.installation.settings()?))
}

fn checked(body: SettingsBody, kept: &RetentionPolicy) -> Result<GuardSettings, Problem> {
    let settings = GuardSettings::from(body);
    let bounds = settings.check();
    bounds.map_err(|bound| Problem::new(ProblemKind::SettingOutOfBounds, bound.to_string()))?;
    kept.reaches(&settings).map_err(|refused| problem(&refused))?;
    Ok(settings)
}

fn problem(refused: &RetentionError) -> Problem {
    let kind = match refused {
        RetentionError::WindowBeyondRetention { .. } => ProblemKind::WindowBeyondRetention,
        _ => ProblemKind::RetentionOutOfBounds,
    };
    Problem::new(kind, refused.to_string())
}

fn not_installed() -> ApiError {
    Problem::new(ProblemKind::NotInstalled, "install the app in this shop first").into()
}

async fn replace(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let revise = |latest: &Installation| -> Result<GuardSettings, ApiError> {
        let now = latest.settings()?;
        let settings = checked(request.body_over(&now.clone().into())?, latest.retention())?;
        if Activity::ALL.iter().any(|activity| activity.switch(&now) != activity.switch(&settings)) {
            request.permits(Permission::ChangePrivacy)?;
        }
        Ok(settings)
    };
    let changed = ctx.store().await?.revise_settings(&request.installation, revise).await?;
    ApiReply::ok(&SettingsBody::from(changed.ok_or_else(not_installed)?))
}

async fn read_retention(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    ApiReply::ok(&retention_of(ctx.store().await?, &request.installation))
}

/// What is kept, for how long, and for how long at most.
fn retention_of(store: &Store, installation: &Installation) -> RetentionBody {
    let (chosen, longest) = store.retention_choice(installation);
    let window = |kind| RetentionWindow {
        days: installation.retention().days(kind).unwrap_or_default(),
        chosen: chosen.days(kind),
        longest: longest(kind),
    };
    let [order, r#match, case, exception, thread, mail] = CHOSEN.map(window);
    RetentionBody { order, r#match, case, exception, thread, mail }
}

async fn choose_retention(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let RetentionRequest { order, r#match, case, exception, thread, mail } = request.body()?;
    let named = CHOSEN.into_iter().zip([order, r#match, case, exception, thread, mail]);
    let chosen = Choice::of(named.filter_map(|(kind, days)| Some((kind, days?))));
    let chosen = chosen.map_err(|refused| problem(&refused))?;
    let store = ctx.store().await?;
    match store.choose_retention(&request.installation, &chosen).await? {
        Choosing::Refused(refused) => return Err(problem(&refused).into()),
        Choosing::NotInstalled => return Err(not_installed()),
        Choosing::Chosen { shortened: true } => {
            let order = RetentionOrder::at_once(request.installation.tenant.clone());
            ctx.send(Queue::ApplyRetention, &order, Duration::ZERO).await?;
        }
        Choosing::Chosen { shortened: false } | Choosing::Unchanged => {}
    }
    let now = store.tenant(&request.installation.tenant).await?.ok_or_else(not_installed)?;
    ApiReply::ok(&retention_of(store, &now))
}

async fn instructions(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let desk = ctx.store().await?.desk(&request.installation).await?;
    ApiReply::ok(&InstructionsBody::of(&request.installation.settings()?, &desk.settings))
}

async fn instruct(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let InstructionsRequest { activities } = request.body()?;
    let (mut guards, mut desks) = (BTreeMap::<Activity, bool>::new(), BTreeMap::<DeskActivity, bool>::new());
    for (instruction, on) in activities {
        match instruction {
            Instruction::Guard(activity) => drop(guards.insert(activity, on)),
            Instruction::Desk(activity) => drop(desks.insert(activity, on)),
        }
    }
    let store = ctx.store().await?;
    // One after the other: whoever is stopped in between is answered nothing, and sends both again.
    let guard = store.change_instructions(&request.installation, &guards).await?.ok_or_else(not_installed)?;
    let desk = store.change_desk_instructions(&request.installation, &desks).await?;
    ApiReply::ok(&InstructionsBody::of(&guard, &desk.ok_or_else(not_installed)?))
}

async fn try_on(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let PreviewRequest { settings } = request.body()?;
    let current = request.installation.settings()?;
    let settings = request.member_over("settings", &settings, &current.clone().into())?;
    let proposed = checked(settings, request.installation.retention())?;
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
