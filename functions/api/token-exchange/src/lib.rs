//! `POST /auth/session` with a session token: connects the shop whose admin shows the app. With Shopify's managed
//! installation this is all there is to installing; later on it renews the tokens, and reconnects a shop whose tokens were
//! lost.

use serde_json::json;
use storeward_clients::ClientError;
use storeward_core::session::{SessionToken, SessionTokenFault};
use storeward_host::{
    BrowserError, BrowserRequest, Connected, Context, Function, HostError, Reply, SessionTokenError, Setting,
    browser,
};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/token-exchange",
    needs: &[&Setting::STORE, &Setting::ADMIN, &[Setting::ShopifyScopes, Setting::Log]],
    run: |ctx, invocation| Box::pin(browser(ctx, invocation, "api/token-exchange", "POST", handle)),
};

/// Connects the shop. Every opening of the app gets new tokens: only Shopify knows whether the stored ones still count,
/// for an uninstall and another install may have happened and not been told yet.
///
/// # Errors
/// A problem when the session token does not count or the merchant granted too little; nothing is stored then.
pub async fn handle(ctx: &Context, request: BrowserRequest) -> Result<Reply, BrowserError> {
    let (session, token) = request.session(ctx).await?;
    match Box::pin(request.as_session(ctx, &session, connect(ctx, &session, token))).await? {
        Ok(connected) => Ok(Reply::Json(json!({ "connected": true, "lacking_scopes": connected.lacking }))),
        // Genuine, and yet refused: at the end of its minute, or of the installation.
        Err(HostError::Shopify(ClientError::Unauthorized)) => {
            Err(BrowserError::Session(SessionTokenError::Invalid(SessionTokenFault::Expired)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Connects the shop, and knows the member of its staff from the first time on: who comes first is the owner.
async fn connect(ctx: &Context, session: &SessionToken, token: &str) -> Result<Connected, HostError> {
    let connected = ctx.connect_by_session(&session.shop, token).await?;
    if let Some(user) = &session.user {
        ctx.store().await?.member_opened(&connected.installation, user.expose()).await?;
    }
    Ok(connected)
}
