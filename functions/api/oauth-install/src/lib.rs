//! `GET /auth?shop=…`: the beginning of an installation. The browser is sent to the merchant's own page of consent, and
//! remembers a state that the callback must bring back. Nothing is looked up or stored.

use storeward_core::oauth::new_state;
use storeward_host::{BrowserError, BrowserRequest, Context, Function, Reply, Setting, browser};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/oauth-install",
    needs: &[&[
        Setting::ShopifyClientId,
        Setting::ShopifyScopes,
        Setting::AppUrl,
        Setting::ShopifyEndpoint,
        Setting::Log,
    ]],
    run: |ctx, invocation| Box::pin(browser(ctx, invocation, "api/oauth-install", "GET", handle)),
};

/// Sends the browser to Shopify. The state is not signed with the client secret: a signature of it over text that others
/// choose could be passed off as that of a webhook.
///
/// # Errors
/// A problem when the query names no shop.
pub async fn handle(ctx: &Context, request: BrowserRequest) -> Result<Reply, BrowserError> {
    let shop = request.shop()?;
    let state = new_state(ctx.now(), &ctx.random()?);
    let callback = format!("{}/auth/callback", ctx.setting(Setting::AppUrl)?.trim_end_matches('/'));
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", ctx.setting(Setting::ShopifyClientId)?)
        .append_pair("scope", ctx.setting(Setting::ShopifyScopes)?)
        .append_pair("redirect_uri", &callback)
        .append_pair("state", &state)
        .finish();
    let to = format!("{}?{query}", ctx.shop_address(&shop, "/admin/oauth/authorize")?);
    Ok(Reply::Redirect { to, state: Some(state) })
}
