//! `GET /auth/callback`: the end of an installation. What Shopify signed and this browser asked for is exchanged for
//! tokens; then the app is installed, and opened in the admin.

use storeward_core::oauth::is_state;
use storeward_host::{BrowserError, BrowserRequest, Context, Function, ProblemKind, Reply, Setting, browser};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/oauth-callback",
    needs: &[&Setting::STORE, &Setting::ADMIN, &[Setting::ShopifyScopes, Setting::Log]],
    run: |ctx, invocation| Box::pin(browser(ctx, invocation, "api/oauth-callback", "GET", handle)),
};

/// Installs the app. Called again with the same code it changes nothing: Shopify takes a code once.
///
/// # Errors
/// A problem when the query is not Shopify's or not for this browser, when the code does not count or the merchant granted
/// too little; nothing is stored then.
pub async fn handle(ctx: &Context, request: BrowserRequest) -> Result<Reply, BrowserError> {
    ctx.verify_query(&request.query).await?;
    let lacking =
        |what: &str| BrowserError::problem(ProblemKind::InvalidQuery, format!("the callback has no {what}"));
    let given = request.query.get("state").ok_or_else(|| lacking("state"))?;
    if !request.state().is_some_and(|cookie| is_state(given, cookie, ctx.now())) {
        let detail = "begin the installation again, and finish it in the same browser within ten minutes";
        return Err(BrowserError::problem(ProblemKind::StateMismatch, detail));
    }
    let shop = request.shop()?;
    let code = request.query.get("code").ok_or_else(|| lacking("code"))?;
    ctx.connect_by_code(&shop, code).await?;
    let app = format!("/admin/apps/{}", ctx.setting(Setting::ShopifyClientId)?);
    Ok(Reply::Redirect { to: ctx.shop_address(&shop, &app)?, state: None })
}
