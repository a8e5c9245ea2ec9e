//! The authorizer of the merchants' API: says whose session token a request carries. What a session token must say is
//! the host's.

use storeward_host::{Function, Setting, authorize};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/authorizer",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::ShopifyClientId, Setting::Log]],
    run: |ctx, invocation| Box::pin(authorize(ctx, invocation)),
};
