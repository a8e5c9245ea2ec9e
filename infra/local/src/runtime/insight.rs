//! What the functions made of it: cases and ledger entries of each shop, read through the store as the
//! functions read them. No customer is in it: a case's orders are told by the merchant's numbers.

use serde_json::{Value, json};
use storeward_core::shop::{ShopDomain, ShopState};
use storeward_core::time::{DAY, Timestamp};
use storeward_store::{Case, Store, StoreError};

/// How many days of the ledger are read, today included: a purge and what led to it.
const LEDGER_DAYS: u32 = 4;

/// The shops of these domains, as JSON.
pub(super) async fn of_shops(store: &Store, now: Timestamp, domains: &[String]) -> Result<Value, StoreError> {
    let mut shops = Vec::new();
    for domain in domains {
        let Ok(known) = domain.parse::<ShopDomain>() else { continue };
        let shop = store.shop_id(&known);
        let installation = store.installation(&shop).await?;
        let cases = match &installation {
            Some(installation) => store.cases(installation).await?,
            None => Vec::new(),
        };
        let state = installation.map(|installation| match installation.state {
            ShopState::Installed => "installed",
            ShopState::Uninstalled => "uninstalled",
        });
        let mut ledger = Vec::new();
        for days in (0..LEDGER_DAYS).rev() {
            ledger.extend(store.ledger_of(&shop, now - DAY * days).await?);
        }
        let entries = ledger.iter().map(|entry| {
            let what = serde_json::to_value(entry.what).unwrap_or_default();
            json!({
                "at": entry.at.to_rfc3339(), "shop": domain, "what": what, "why": entry.why,
                "counts": entry.counts, "verified": entry.verified,
            })
        });
        shops.push(json!({
            "domain": domain, "blinded": shop.as_str(), "state": state.unwrap_or("not installed"),
            "cases": cases.iter().map(|case| describe(domain, case)).collect::<Vec<_>>(),
            "ledger": entries.collect::<Vec<_>>(),
        }));
    }
    Ok(json!(shops))
}

fn describe(domain: &str, case: &Case) -> Value {
    let orders = case.members.iter().map(|member| member.name.as_ref().map(|name| name.expose().as_str()));
    json!({
        "shop": domain, "case": case.reference.to_string(),
        "state": serde_json::to_value(case.state).unwrap_or_default(),
        "opened": case.opened, "size": case.size, "orders": orders.collect::<Vec<_>>(),
        "reasons": case.reasons.iter().map(|reason| reason.sentence()).collect::<Vec<_>>(),
    })
}
