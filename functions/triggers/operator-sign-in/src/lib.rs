//! Asked by the operators' user pool at a sign-in and after a reset: ends passwords after 90 days. How, is the host's.

use storeward_host::{Function, Setting, operator_sign_in};

/// The function.
pub const FUNCTION: Function = Function {
    name: "triggers/operator-sign-in",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(operator_sign_in(ctx, invocation, "triggers/operator-sign-in")),
};
