//! Households and customers that a merchant does not want flagged: listed and ended. They are made by decisions.

use storeward_api::{ExceptionBody, ExceptionsBody};
use storeward_core::roles::Permission;
use storeward_host::{ApiError, ApiReply, ApiRequest, Context, Function, Problem, Route, Setting, api};

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/exceptions",
        personal: true,
        needs: Permission::ViewExceptions,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    Route {
        key: "DELETE /v1/exceptions/{id}",
        personal: false,
        needs: Permission::EndExceptions,
        handle: |ctx, request| Box::pin(end(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/exceptions",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/exceptions", ROUTES)),
};

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let exceptions = ctx.store().await?.exceptions(&request.installation).await?;
    ApiReply::ok(&ExceptionsBody { exceptions: exceptions.into_iter().map(ExceptionBody::from).collect() })
}

async fn end(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let id = request.id()?;
    let ended = ctx.store().await?.end_exception(&request.installation, id).await?;
    if ended { Ok(ApiReply::nothing()) } else { Err(Problem::not_found().into()) }
}
