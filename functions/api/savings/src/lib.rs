//! What the duplicate guard was good for, month by month: counts of cases and the sums that confirmed duplicates would
//! have cost.

use storeward_api::SavingsBody;
use storeward_core::roles::Permission;
use storeward_host::{ApiError, ApiReply, ApiRequest, Context, Function, Route, Setting, api};

/// The function's routes.
pub const ROUTES: &[Route] = &[Route {
    key: "GET /v1/savings",
    personal: false,
    needs: Permission::ViewSavings,
    handle: |ctx, request| Box::pin(months(ctx, request)),
}];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/savings",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/savings", ROUTES)),
};

async fn months(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["months"])?;
    let months = request.number("months", 12, 24)?;
    let months = ctx.store().await?.statistics(&request.installation, months).await?;
    ApiReply::ok(&SavingsBody { months: months.into_iter().map(Into::into).collect() })
}
