//! What a merchant sees of a case in the shop: tag, risk facts and hold on its orders. All of it can be repeated without
//! harm; an order whose turn failed for good is left as it is, and the case stands without.

use std::collections::BTreeSet;

use storeward_clients::ClientError;
use storeward_clients::shopify::Shopify;
use storeward_core::alert::clean;
use storeward_core::data_map::Category;
use storeward_core::egress::Outgoing;
use storeward_core::guard::GuardSettings;
use storeward_core::instructions::Activity;
use storeward_core::personal::Personal;
use storeward_host::{AdminAccess, Context, JobError};
use storeward_store::{Case, FlagState, Installation, Member, OrderRecord, RecordRef, why};

/// The tag that orders of a case get in the shop.
pub const TAG: &str = "possible-duplicate";

/// What the names of our holds begin with: with the case's name they stay under Shopify's 64 characters.
const HOLD: &str = "storeward-case-";

/// How many other orders a fact or a hold names, and how much of each name.
const NAMED: usize = 5;
const LONGEST_NAME: usize = 40;

/// Shopify's limits of a fact.
const LONGEST_FACT: usize = 256;

/// Shows the case on its orders that do not show it yet. Without an access token there is nobody to tell.
pub(crate) async fn show(
    ctx: &Context,
    installation: &Installation,
    case: &Case,
    newcomers: &[RecordRef],
) -> Result<(), JobError> {
    let Some(access) = ctx.admin_access(installation).await? else { return Ok(()) };
    let store = ctx.store().await?;
    let settings = installation.settings()?;
    // All of the case and not the newcomers alone: the try that took one in may have ended before anyone was told.
    let members = case.members.iter().map(|member| &member.order).chain(newcomers);
    let references: Vec<RecordRef> = members.cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let mut waiting = store.orders(installation, &references).await?;
    waiting.retain(|record| record.flag == FlagState::Pending);
    if waiting.is_empty() {
        return Ok(());
    }
    let hold = settings.allow(Activity::HoldFulfilment) && store.announce_hold(installation, case).await?;
    let showing =
        Showing { shopify: ctx.shopify_for(installation).await?, access, case, settings: &settings, hold };
    let mut told = Vec::new();
    let mut later = Ok(());
    for record in waiting {
        if !store.take_to_show(installation, &record.reference).await? {
            continue;
        }
        match showing.order(&record).await {
            Ok(()) => told.push(record.reference),
            Err(error) => {
                later = Err(JobError::Retry(error.to_string()));
                break;
            }
        }
    }
    if !told.is_empty() {
        store.flagged(installation, &told).await?;
    }
    if hold {
        // Whoever decided meanwhile let go of what was held by then: it is looked again, after holding.
        if let Some(now) = store.case(installation, &case.reference).await?
            && !now.is_to_wait()
        {
            let_go(ctx, installation, &now).await?;
        }
    }
    later
}

/// What a case is shown with.
struct Showing<'a> {
    shopify: Shopify,
    access: AdminAccess,
    case: &'a Case,
    settings: &'a GuardSettings,
    hold: bool,
}

impl Showing<'_> {
    /// Shows the case on one order, the hold first: a parcel is not called back. Fails only with what can succeed later.
    async fn order(&self, record: &OrderRecord) -> Result<(), ClientError> {
        let order = record.order.gid();
        let member = self.case.members.iter().find(|member| member.order == record.reference);
        // What is not listed in the case would not be let go with it.
        if self.hold && member.is_some() {
            settled(record, "held", self.hold(&order, record).await)?;
        }
        if self.settings.allow(Activity::TagOrders) {
            let tagged = self.shopify.tags_add(&self.access.domain, self.token(), &order, &[TAG]).await;
            settled(record, "tagged", tagged)?;
        }
        if let Some(member) = member.filter(|_| self.settings.allow(Activity::AttachRiskFacts)) {
            settled(record, "assessed", self.assess(&order, member).await)?;
        }
        Ok(())
    }

    fn token(&self) -> &str {
        self.access.token.expose()
    }

    async fn hold(&self, order: &Personal<String>, record: &OrderRecord) -> Result<(), ClientError> {
        let handle = Outgoing::about(Category::Pseudonym, format!("{HOLD}{}", self.case.reference.id()));
        let notes = self
            .others(&record.reference)
            .map(|others| format!("Possible duplicate of {others}: decide in Storeward"));
        for part in self.shopify.fulfilment_orders(&self.access.domain, self.token(), order).await? {
            if part.open {
                let held = self.shopify.hold(&self.access.domain, self.token(), &part.id, &handle, &notes);
                settled(record, "held", held.await)?;
            }
        }
        Ok(())
    }

    /// Attaches the facts, unless they are there from a try before.
    async fn assess(&self, order: &Personal<String>, member: &Member) -> Result<(), ClientError> {
        let facts = [
            self.others(&member.order).map(|others| format!("Possible duplicate of {others}")),
            // Words for what agrees; no value is named.
            Outgoing::about(Category::OrderMetadata, format!("Agrees in: {}", why(member))),
        ];
        let facts = facts.map(|fact| fact.map(|fact| clean(&fact, LONGEST_FACT)));
        let known = self.shopify.known_facts(&self.access.domain, self.token(), order).await?;
        if facts.iter().all(|fact| known.contains(fact.value())) {
            return Ok(());
        }
        self.shopify.risk_facts(&self.access.domain, self.token(), order, &facts).await
    }

    /// The case's other orders, by the merchant's names.
    fn others(&self, but: &RecordRef) -> Outgoing<String> {
        let others: Vec<&Member> = self.case.members.iter().filter(|member| member.order != *but).collect();
        let name = |member: &&Member| {
            let name = member.name.as_ref().map(|name| clean(name.expose(), LONGEST_NAME));
            name.filter(|name| !name.is_empty()).unwrap_or_else(|| "an order without a name".to_owned())
        };
        let mut names: Vec<String> = others.iter().take(NAMED).map(name).collect();
        if others.len() > NAMED {
            names.push("others".to_owned());
        }
        Outgoing::about(Category::OrderMetadata, names.join(", "))
    }
}

/// Lets go of what is held for a case whose orders need not wait any more.
pub(crate) async fn let_go(ctx: &Context, installation: &Installation, case: &Case) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let seen = store.case_notice(installation, &case.reference).await?;
    if !seen.holding() {
        return Ok(());
    }
    let Some(access) = ctx.admin_access(installation).await? else { return Ok(()) };
    let (shopify, token) = (ctx.shopify_for(installation).await?, access.token.expose());
    for (reference, id) in case.numbers_to_let_go() {
        let order = Personal::new(format!("gid://shopify/Order/{}", id.expose()));
        let parts = match shopify.fulfilment_orders(&access.domain, token, &order).await {
            Ok(parts) => parts,
            Err(error) if error.is_transient() => return Err(JobError::Retry(error.to_string())),
            Err(error) => {
                tracing::warn!(order = %reference, %error, "not looked for holds");
                continue;
            }
        };
        for part in parts {
            // Also one that a case put on which was merged into this one.
            let ours = part.holds.iter().filter(|hold| hold.handle.starts_with(HOLD));
            let ours: Vec<&str> = ours.map(|hold| hold.id.as_str()).collect();
            match shopify.release_holds(&access.domain, token, &part.id, &ours).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(JobError::Retry(error.to_string())),
                Err(error) => tracing::warn!(order = %reference, %error, "not let go"),
            }
        }
    }
    store.released(installation, &case.reference, &seen).await?;
    Ok(())
}

/// What can succeed later is an error; what never will, such as `ORDER_ALREADY_FULFILLED` or a scope that the merchant
/// did not grant, is told in the log and done with.
fn settled(
    record: &OrderRecord,
    what: &'static str,
    outcome: Result<(), ClientError>,
) -> Result<(), ClientError> {
    match outcome {
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::warn!(order = %record.reference, %error, "not {what}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
