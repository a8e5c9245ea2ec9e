//! What the operators' user pool asks at a sign-in: whether the password still counts. The pool itself ends no password
//! (promise DG62), and tells of a new one in two ways only: after a sign-in for which it asked to replace the password that
//! an administrator gave, and after a reset by mail. A password that was changed otherwise is asked to be reset earlier,
//! never later.

use serde::Deserialize;
use serde_json::Value;
use storeward_store::{Acting, By, OperatorPassword, acting};

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
    let over = || {
        tracing::info!(function, operator, "the password is older than 90 days");
        Err(InvokeError::Refused(
            "Your password is older than 90 days. Choose \"Forgot password\" and set a new one.",
        ))
    };
    let set =
        |why| acting(Acting::new(By::system(function), None), store.operator_password_set(&operator, why));
    match event.trigger_source.as_str() {
        // With the password that an administrator gave, which the pool asks to replace before it lets anyone in.
        "PreAuthentication_Authentication" if user.status == "FORCE_CHANGE_PASSWORD" => {
            store.operator_password_replaced(&operator).await?;
        }
        "PreAuthentication_Authentication" => match store.operator_password(&operator).await? {
            OperatorPassword::Counts | OperatorPassword::Replaced => {}
            OperatorPassword::Over => return over(),
        },
        // The password may have come to its end since it was asked for: then the sign-in ends here.
        "PostAuthentication_Authentication" => match store.operator_password(&operator).await? {
            OperatorPassword::Counts => {}
            OperatorPassword::Replaced => set("first sign-in").await?,
            OperatorPassword::Over => return over(),
        },
        "PostConfirmation_ConfirmForgotPassword" => set("reset").await?,
        _ => return Err(InvokeError::NotMyEvent("of a user pool's sign-in")),
    }
    Ok(invocation.event)
}
