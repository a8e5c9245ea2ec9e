//! For operators: who is asking, and where a shop stands. Nothing about people; a shop is named by its blinded name,
//! which is looked up by its domain first.

use serde::{Deserialize, Serialize};
use storeward_core::personal::Personal;
use storeward_core::roles::{OperatorPermission, OperatorRole};
use storeward_core::shop::{ShopDomain, ShopId, ShopState};
use storeward_core::time::Timestamp;
use storeward_host::{
    ApiError, ApiReply, Context, Function, OperatorRequest, OperatorRoute, Problem, ProblemKind, Setting,
    operator_api,
};
use storeward_store::Installation;

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
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "operator/shops",
    needs: &[&Setting::STORE, &[Setting::Log]],
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
