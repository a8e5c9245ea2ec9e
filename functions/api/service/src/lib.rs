//! What a merchant may have of the service as a whole: what was done to the shop's data and who read it, while it runs; and its
//! end as the merchant chooses (promises SO23, SO26): everything is given back, page by page, and everything is deleted.
//! Uninstalling the app deletes everything too; this does it at once, and from within the app.

use storeward_api::{AccessLogBody, EndingBody, EndingRequest, HandoverBody, LedgerBody};
use storeward_core::roles::Permission;
use storeward_core::shop::Tenant;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Route, Setting, api,
};
use storeward_store::LogRange;

/// Why it ends: for the ledger.
const WHY: &str = "the merchant's request";

/// The function's routes.
pub const ROUTES: &[Route] = &[
    // Who of the staff did what, and who read what from which hashed address: the data map has both as pseudonyms.
    Route {
        key: "GET /v1/ledger",
        personal: true,
        needs: Permission::ViewLedger,
        handle: |ctx, request| Box::pin(ledger(ctx, request)),
    },
    Route {
        key: "GET /v1/access-log",
        personal: true,
        needs: Permission::ViewLedger,
        handle: |ctx, request| Box::pin(access_log(ctx, request)),
    },
    Route {
        key: "GET /v1/service/export",
        personal: true,
        needs: Permission::EndService,
        handle: |ctx, request| Box::pin(hand_over(ctx, request)),
    },
    Route {
        key: "POST /v1/service/ending",
        personal: false,
        needs: Permission::EndService,
        handle: |ctx, request| Box::pin(end(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/service",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &[Setting::PurgeShopQueueUrl, Setting::SyncMailboxQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/service", ROUTES)),
};

// Of this installation alone, as of everything else of a shop (docs/decisions/0006).
async fn ledger(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let Tenant { shop, generation } = &request.installation.tenant;
    let since = generation.since();
    let range = request.log_range(ctx.now(), since, since, Some(*generation))?;
    ApiReply::ok(&LedgerBody::from(ctx.store().await?.audit_trail(shop, &range).await?))
}

async fn access_log(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let Tenant { shop, generation } = &request.installation.tenant;
    let now = ctx.now();
    let since = generation.since().max(LogRange::oldest_access(now));
    let range = request.log_range(now, since, since, Some(*generation))?;
    ApiReply::ok(&AccessLogBody::from(ctx.store().await?.access_log(shop, &range).await?))
}

async fn hand_over(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["cursor", "limit"])?;
    let limit = request.number("limit", 100, 500)?;
    let page =
        ctx.store().await?.hand_over(&request.installation, request.parameter("cursor"), limit).await?;
    let wrong = || {
        let detail = "cursor: send the `next` of the page before, or begin without one";
        Problem::new(ProblemKind::InvalidParameter, detail)
    };
    ApiReply::ok(&HandoverBody::from(page.ok_or_else(wrong)?))
}

async fn end(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let EndingRequest { confirm } = request.body()?;
    let deleted_after = ctx.end_service(&request.installation, &confirm, WHY).await?;
    ApiReply::accepted(&EndingBody { deleted_after: deleted_after.to_rfc3339() })
}
