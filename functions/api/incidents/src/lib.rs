//! Breaches of personal data that reached the shop: the same notice that its merchant got by e-mail, for as long as it is kept.

use storeward_api::{BreachBody, BreachesBody};
use storeward_core::roles::Permission;
use storeward_host::{ApiError, ApiReply, ApiRequest, Context, Function, Route, Setting, api};
use storeward_store::ReachedStanding;

/// The function's routes.
pub const ROUTES: &[Route] = &[Route {
    key: "GET /v1/incidents",
    personal: false,
    needs: Permission::ViewPrivacy,
    handle: |ctx, request| Box::pin(list(ctx, request)),
}];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/incidents",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/incidents", ROUTES)),
};

async fn list(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let store = ctx.store().await?;
    let mut breaches = Vec::new();
    // There are few breaches: one request for each is less than an index of them.
    for incident in store.incidents().await?.into_iter().filter(|incident| !incident.drill) {
        let reached = store.reached_in(&incident.id, &request.installation.tenant.shop).await?;
        // Before an operator says so, nobody is told: what is known so far may be wrong.
        let told = reached.iter().filter(|reached| reached.standing != ReachedStanding::Waiting);
        breaches.extend(told.map(|reached| BreachBody::of(&incident, reached)));
    }
    ApiReply::ok(&BreachesBody { breaches })
}
