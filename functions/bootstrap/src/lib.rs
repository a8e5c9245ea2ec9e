//! The list of all functions: what `_HANDLER` can name, and what the local run and the tests go through.

use storeward_host::Function;

/// Every function of the bundle. `template.yaml`, `events/` and the crates are held against it by a test.
pub const FUNCTIONS: &[Function] = &[
    announce_processors::FUNCTION,
    apply_retention::FUNCTION,
    app_scopes_update::FUNCTION,
    app_uninstalled::FUNCTION,
    classify_email::FUNCTION,
    customers_data_request::FUNCTION,
    customers_redact::FUNCTION,
    customers_update::FUNCTION,
    desk::FUNCTION,
    draft_reply::FUNCTION,
    drafts::FUNCTION,
    export_subject::FUNCTION,
    authorizer::FUNCTION,
    breaches::FUNCTION,
    cases::FUNCTION,
    exceptions::FUNCTION,
    exports::FUNCTION,
    requests::FUNCTION,
    gmail_push::FUNCTION,
    google_oauth::FUNCTION,
    handle_incident::FUNCTION,
    incidents::FUNCTION,
    mailboxes::FUNCTION,
    match_order::FUNCTION,
    members::FUNCTION,
    openapi::FUNCTION,
    oauth_callback::FUNCTION,
    oauth_install::FUNCTION,
    operator_authorizer::FUNCTION,
    operator_sign_in::FUNCTION,
    orders_cancelled::FUNCTION,
    notify_merchant::FUNCTION,
    orders_create::FUNCTION,
    orders_fulfilled::FUNCTION,
    orders_updated::FUNCTION,
    processors::FUNCTION,
    purge_shop::FUNCTION,
    reconcile_orders::FUNCTION,
    reconcile_shop::FUNCTION,
    rectify_subject::FUNCTION,
    redact_subject::FUNCTION,
    renew_watches::FUNCTION,
    rights::FUNCTION,
    savings::FUNCTION,
    service::FUNCTION,
    seal_ledger::FUNCTION,
    settings::FUNCTION,
    shop_redact::FUNCTION,
    shop_update::FUNCTION,
    shops::FUNCTION,
    sweep_due::FUNCTION,
    send_reply::FUNCTION,
    threads::FUNCTION,
    sync_mailbox::FUNCTION,
    token_exchange::FUNCTION,
    watch_incidents::FUNCTION,
];

/// The function of that name.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}
