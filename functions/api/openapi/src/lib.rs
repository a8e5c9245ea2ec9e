//! The API's description, for whoever writes a client: the committed document, which a test holds against the code.

use storeward_host::{Function, Setting, document};

/// The document. It is made of `storeward_api`, which therefore need not be in this function.
const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// The function's only route. Anyone may call it.
pub const ROUTES: &[&str] = &["GET /v1/openapi.json"];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/openapi",
    needs: &[&[Setting::Log]],
    run: |_, _| Box::pin(async { document(DOCUMENT) }),
};
