//! What the functions made of it: cases, mailboxes, conversations and ledger entries of each shop, read through the
//! store as the functions read them. No customer is in it: a case's orders are told by the merchant's numbers, of mail it
//! is told what became of it.

use serde_json::{Value, json};
use storeward_core::shop::{ShopDomain, ShopState};
use storeward_core::time::{DAY, Timestamp};
use storeward_store::{Case, Installation, Mailbox, Store, StoreError, Thread, ThreadFilter};

/// How many days of the ledger are read, today included: a purge and what led to it.
const LEDGER_DAYS: u32 = 4;

/// How many conversations of a shop are told.
const THREADS: usize = 20;

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
        let (mailboxes, threads) = match &installation {
            Some(installation) => mail(store, domain, installation).await?,
            None => (Vec::new(), Vec::new()),
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
            "mailboxes": mailboxes, "threads": threads,
            "ledger": entries.collect::<Vec<_>>(),
        }));
    }
    Ok(json!(shops))
}

/// A shop's mailboxes, and its latest conversations.
async fn mail(
    store: &Store,
    domain: &str,
    installation: &Installation,
) -> Result<(Vec<Value>, Vec<Value>), StoreError> {
    let mailboxes = store.mailboxes(installation).await?;
    let page = store.threads(installation, &ThreadFilter::default(), None, THREADS).await?;
    let threads = page.map(|page| page.threads).unwrap_or_default();
    Ok((
        mailboxes.iter().map(|mailbox| describe_mailbox(domain, mailbox)).collect(),
        threads.iter().map(|thread| describe_thread(domain, thread)).collect(),
    ))
}

fn describe_mailbox(domain: &str, mailbox: &Mailbox) -> Value {
    json!({
        "shop": domain, "mailbox": mailbox.reference.to_string(),
        "state": mailbox.state.name(),
        "read": mailbox.read_at.map(Timestamp::to_rfc3339),
        "watched": mailbox.watched_until.map(Timestamp::to_rfc3339),
    })
}

fn describe_thread(domain: &str, thread: &Thread) -> Value {
    json!({
        "shop": domain, "thread": thread.reference.to_string(), "latest": thread.latest_at.to_rfc3339(),
        "state": thread.state.name(), "intent": thread.intent.map(storeward_core::intent::Intent::name),
        "mails": thread.mails.len(), "draft": thread.drafts.last().map(|draft| draft.state.name()),
    })
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
