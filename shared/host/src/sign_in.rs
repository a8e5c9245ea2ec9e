//! What the operators' user pool asks at a sign-in: whether the password still counts. The pool itself ends no password
//! (promise DG62), and tells of a new one in two ways only: after a first sign-in, which is with a new password, and after
//! a reset by mail. So a password that was changed otherwise is asked to be reset earlier, never later.

use serde::Deserialize;
use serde_json::Value;
use storeward_store::{Acting, By, acting};

use crate::context::Context;
use crate::function::{Invocation, InvokeError};

/// What is used of an event of a user pool.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoolEvent {
    trigger_source: String,
    region: String,
    user_pool_id: String,
    request: PoolRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoolRequest {
    user_attributes: PoolUser,
}

#[derive(Deserialize)]
struct PoolUser {
    sub: String,
    #[serde(default, rename = "cognito:user_status")]
    status: String,
}

/// The function of a user pool's triggers: answers with the event, which lets the sign-in go on.
///
/// # Errors
/// `Refused` with what the pool shows to whoever signs in; anything else stops the sign-in as well.
pub async fn operator_sign_in(
    ctx: &Context,
    invocation: Invocation,
    function: &'static str,
) -> Result<Value, InvokeError> {
    let event: PoolEvent = serde_json::from_value(invocation.event.clone())
        .map_err(|_| InvokeError::NotMyEvent("of a user pool's sign-in"))?;
    let store = ctx.store().await?;
    let issuer = format!("https://cognito-idp.{}.amazonaws.com/{}", event.region, event.user_pool_id);
    let user = &event.request.user_attributes;
    let operator = store.operator(&issuer, &user.sub);
    let known = store.operator_password_counts(&operator);
    let set =
        |why| acting(Acting::new(By::system(function), None), store.operator_password_set(&operator, why));
    match event.trigger_source.as_str() {
        // With the password that an administrator gave, which the pool asks to replace before it lets anyone in.
        "PreAuthentication_Authentication" if user.status == "FORCE_CHANGE_PASSWORD" => {}
        "PreAuthentication_Authentication" => {
            if !known.await? {
                tracing::info!(function, operator, "the password is older than 90 days");
                return Err(InvokeError::Refused(
                    "Your password is older than 90 days. Choose \"Forgot password\" and set a new one.",
                ));
            }
        }
        // Nobody without a password that counts comes here but by a first sign-in.
        "PostAuthentication_Authentication" => {
            if !known.await? {
                set("first sign-in").await?;
            }
        }
        "PostConfirmation_ConfirmForgotPassword" => set("reset").await?,
        _ => return Err(InvokeError::NotMyEvent("of a user pool's sign-in")),
    }
    Ok(invocation.event)
}
