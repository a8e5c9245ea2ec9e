//! For operators: who is asking, where a shop stands, what was done to its data and who read it, and its end when its merchant
//! asks for it in writing. Nothing about customers; a shop is named by its blinded name, which is looked up by its domain first.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_api::{EndingBody, LedgerBody};
use storeward_core::access_review::{beginning, review};
use storeward_core::personal::Personal;
use storeward_core::roles::{OperatorPermission, OperatorRole};
use storeward_core::shop::{ShopDomain, ShopId, ShopState};
use storeward_core::time::Timestamp;
use storeward_host::{
    ApiError, ApiReply, Context, Function, OperatorRequest, OperatorRoute, Problem, ProblemKind, Setting,
    is_file_number, operator_api,
};
use storeward_store::{Installation, LogRange};

/// The function's routes.
pub const ROUTES: &[OperatorRoute] = &[
    OperatorRoute {
        key: "GET /operator/v1/me",
        personal: false,
        needs: OperatorPermission::ViewSelf,
        handle: |ctx, request| Box::pin(who_asks(ctx, request)),
    },
    OperatorRoute {
        key: "POST /operator/v1/shops/lookup",
        personal: false,
        needs: OperatorPermission::ViewShops,
        handle: |ctx, request| Box::pin(look_up(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/shops/{shop}",
        personal: false,
        needs: OperatorPermission::ViewShops,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    // What a merchant's staff did and read, by pseudonym: its merchant reads in the access log who looked.
    OperatorRoute {
        key: "GET /operator/v1/shops/{shop}/ledger",
        personal: true,
        needs: OperatorPermission::ViewLedger,
        handle: |ctx, request| Box::pin(ledger(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/shops/{shop}/access-review",
        personal: true,
        needs: OperatorPermission::ViewLedger,
        handle: |ctx, request| Box::pin(review_access(ctx, request)),
    },
    OperatorRoute {
        key: "POST /operator/v1/shops/{shop}/ending",
        personal: false,
        needs: OperatorPermission::ManageShops,
        handle: |ctx, request| Box::pin(end(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "operator/shops",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[Setting::PurgeShopQueueUrl, Setting::SyncMailboxQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(operator_api(ctx, invocation, "operator/shops", ROUTES)),
};

/// Who asks.
#[derive(Serialize)]
struct SelfBody {
    id: String,
    role: OperatorRole,
    may: Vec<&'static str>,
}

#[expect(clippy::unused_async, reason = "a route's signature")]
async fn who_asks(_ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let may = OperatorPermission::ALL.into_iter().filter(|permission| request.role.may(*permission));
    let may = may.map(OperatorPermission::name).collect();
    ApiReply::ok(&SelfBody { id: request.actor.clone(), role: request.role, may })
}

/// Which shop is looked for. In the body, so that no domain is in an address that somebody logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupRequest {
    domain: Personal<String>,
}

/// Where a shop stands.
#[derive(Serialize)]
struct ShopBody {
    shop: ShopId,
    state: &'static str,
    /// Since when this installation is.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// When the merchant last installed or connected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    installed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uninstalled_at: Option<String>,
}

impl ShopBody {
    fn new(shop: ShopId, installation: Option<&Installation>) -> Self {
        let state = match installation.map(|installation| installation.state) {
            None => "unknown",
            Some(ShopState::Installed) => "installed",
            Some(ShopState::Uninstalled) => "uninstalled",
        };
        let time = |time: Timestamp| time.to_rfc3339();
        Self {
            shop,
            state,
            since: installation.map(|found| time(found.tenant.generation.since())),
            installed_at: installation.map(|found| time(found.installed_at)),
            uninstalled_at: installation.and_then(|found| found.uninstalled_at).map(time),
        }
    }
}

/// The blinded name there would be is told also for a shop that nothing is known of: what was purged has a ledger.
async fn look_up(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let LookupRequest { domain } = request.body()?;
    let domain: ShopDomain = domain.expose().parse().map_err(|_| {
        let detail = "domain: send a shop's permanent domain, name.myshopify.com";
        Problem::new(ProblemKind::InvalidBody, detail)
    })?;
    let store = ctx.store().await?;
    let shop = store.shop_id(&domain);
    let installation = store.installation(&shop).await?;
    ApiReply::ok(&ShopBody::new(shop, installation.as_ref()))
}

async fn read(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let installation = request.installation(ctx).await?;
    ApiReply::ok(&ShopBody::new(installation.tenant.shop.clone(), Some(&installation)))
}

fn invalid_parameter(detail: &str) -> ApiError {
    Problem::new(ProblemKind::InvalidParameter, detail).into()
}

/// Of all installations of the shop, those that were purged included: nothing else is left of them.
async fn ledger(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    let (shop, now) = (request.shop()?, ctx.now());
    let range = request.log_range(now, LogRange::oldest_access(now), Timestamp::default(), None)?;
    ApiReply::ok(&LedgerBody::from(ctx.store().await?.audit_trail(&shop, &range).await?))
}

/// How many entries of the log are asked for at once.
const AT_ONCE: usize = 1000;

/// What is left of the time for counting and answering.
const REST: Duration = Duration::from_secs(5);

/// The review of a month, this one where none is said. The months before it are held against it, as far as they are kept.
async fn review_access(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&["month"])?;
    let (shop, now) = (request.shop()?, ctx.now());
    let this = now.day();
    let month = request.parameter("month").or_else(|| this.get(..7)).unwrap_or_default();
    let began = beginning(month).ok_or_else(|| invalid_parameter("month: write it as 2026-11"))?;
    let oldest = LogRange::oldest_access(now);
    if began < oldest || began > now {
        return Err(invalid_parameter(
            "month: choose one that began in the last 90 days; what was before is not kept",
        ));
    }
    let store = ctx.store().await?;
    let (mut log, mut cursor) = (Vec::new(), None);
    loop {
        let before = cursor.as_deref();
        if ctx.now() + REST >= request.deadline {
            let detail = "too much was read in this shop for one answer: review an export of the ledger's table with `review-access`";
            return Err(Problem::new(ProblemKind::Unavailable, detail).into());
        }
        let range = LogRange { since: oldest, until: now, generation: None, before, limit: AT_ONCE };
        let page = store.access_log(&shop, &range).await?;
        log.extend(page.entries.into_iter().map(|entry| entry.for_review(shop.as_str())));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ApiReply::ok(&review(&log, month).json())
}

/// That a shop's merchant asked in writing for the end of the service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWord {
    /// The shop's permanent domain, so that it does not happen by mistake or to another shop.
    confirm: Personal<String>,
    /// Where the merchant's word is kept: for the ledger, which is kept for good. A number, so that it is about nobody.
    reference: Personal<String>,
}

async fn end(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let WrittenWord { confirm, reference } = request.body()?;
    let reference = reference.expose();
    if !is_file_number(reference) {
        let detail = "reference: the number of the merchant's letter in your files, of capitals, digits and hyphens, like T-2026-17";
        return Err(Problem::new(ProblemKind::InvalidBody, detail).into());
    }
    let installation = request.installation(ctx).await?;
    if !installation.is_installed() {
        let detail =
            "the app is not installed in this shop: what is left of it is deleted without being asked for";
        return Err(Problem::new(ProblemKind::NotInstalled, detail).into());
    }
    let why = format!("the merchant's written request {reference}");
    let deleted_after = ctx.end_service(&installation, confirm.expose(), &why).await?;
    ApiReply::accepted(&EndingBody { deleted_after: deleted_after.to_rfc3339() })
}
