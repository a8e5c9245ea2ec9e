//! The authorizer of the operators' API: says which operator's token a request carries. What a token must say is
//! `core::operator_token`'s.

use storeward_host::{Function, Setting, authorize_operator};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/operator-authorizer",
    needs: &[&Setting::STORE, &Setting::OPERATORS, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(authorize_operator(ctx, invocation)),
};
