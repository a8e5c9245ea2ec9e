//! Moves a breach of personal data on: finds which shops it reached, and tells their merchants once an operator says so.
//! It goes on until each of them was told, and what became of it is written down. A drill sends nothing.

use std::time::Duration;

use storeward_core::egress::Use;
use storeward_core::incident;
use storeward_core::personal::Personal;
use storeward_core::shop::Tenant;
use storeward_core::time::{MINUTE, Timestamp};
use storeward_host::{
    Context, Function, IncidentOrder, JobError, Letter, Mailed, Queue, REPEATABLE, Setting, job,
};
use storeward_store::{Incident, Installation, Phase, Reached, ReachedStanding, Store};

/// What is kept of the time for the last requests and the message to the next run.
const RESERVE: Duration = MINUTE;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/handle-incident",
    needs: &[
        &Setting::STORE,
        &[
            Setting::HandleIncidentQueueUrl,
            Setting::ResendKey,
            Setting::ResendEndpoint,
            Setting::MailFrom,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/handle-incident", handle)),
};

/// Does what a breach needs next, or goes on with it. Doing it again finds it done.
///
/// # Errors
/// Retry while something is unavailable; drop when there is nothing to do; dead letter when Resend does not accept the key or
/// the sender, which somebody has to see to at once.
pub async fn handle(ctx: &Context, order: IncidentOrder, deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(incident) = store.incident(&order.incident).await? else {
        return Err(JobError::Drop("there is no such breach"));
    };
    let time_left = || ctx.now() + RESERVE < deadline;
    let (finished, next) = match incident.phase {
        Phase::Assessing => (store.assess_incident(&incident, &time_left).await?, Phase::Assessed),
        Phase::Notifying => (tell_all(ctx, store, &incident, &time_left).await?, Phase::Notified),
        Phase::Assessed | Phase::Notified | Phase::Closed => {
            return Err(JobError::Drop("the breach waits for nobody"));
        }
    };
    if !finished {
        ctx.send(Queue::HandleIncident, &order, Duration::ZERO).await?;
        return Ok(());
    }
    if next == Phase::Notified {
        let reached = store.reached(&incident.id).await?;
        let untold = reached.iter().filter(|reached| !reached.standing.is_told()).count();
        if untold > 0 {
            // The hourly watch says so aloud, and has it tried again.
            tracing::warn!(incident = incident.id, untold, "merchants could not be told of a breach by mail");
            return Ok(());
        }
    }
    if !store.advance_incident(&incident, next).await? {
        return Err(JobError::Retry("the breach changed meanwhile".to_owned()));
    }
    tracing::info!(incident = incident.id, phase = next.name(), "moved on");
    Ok(())
}

/// Tries to tell every merchant who was not told yet, also whoever could not be reached before: an address may be known by
/// now. What fails for one keeps no other from being told. `false` when the time was not enough.
async fn tell_all(
    ctx: &Context,
    store: &Store,
    incident: &Incident,
    time_left: &(dyn Fn() -> bool + Sync),
) -> Result<bool, JobError> {
    let mut failed = None;
    for reached in store.reached(&incident.id).await? {
        if reached.standing.is_told() {
            continue;
        }
        if !time_left() {
            return Ok(false);
        }
        if let Err(error) = tell(ctx, store, incident, &reached).await {
            tracing::warn!(incident = incident.id, tenant = %reached.tenant, %error, "a merchant was not told");
            failed = Some(error);
        }
    }
    failed.map_or(Ok(true), Err)
}

async fn tell(ctx: &Context, store: &Store, incident: &Incident, reached: &Reached) -> Result<(), JobError> {
    let told = |standing, mail| store.breach_told(incident, reached, standing, mail);
    if incident.drill {
        return Ok(told(ReachedStanding::Rehearsed, None).await?);
    }
    let Some((installation, to)) = addressee(store, &reached.tenant).await? else {
        return Ok(told(ReachedStanding::Unreachable, None).await?);
    };
    // Once Resend has forgotten the key, the notice is sent again: for what the law asks for, two are better than none.
    let mailing = store.announce_breach(&incident.id, reached, REPEATABLE).await?;
    let mail = incident::notice(&incident.words, &incident.reach, &reached.extent, incident.aware_at);
    let Tenant { shop, generation } = &reached.tenant;
    let key = format!("storeward-breach-{}-{shop}-{generation}", incident.id);
    let letter = Letter { to, mail, purpose: Use::ServiceMail, key };
    match ctx.send_letter(&installation, letter, &mailing).await? {
        Mailed::Sent(id) => told(ReachedStanding::Told, id.as_deref()).await?,
        Mailed::Refused => told(ReachedStanding::Unreachable, None).await?,
        // Forgotten between the announcement and now: the next try begins anew.
        Mailed::Lost => return Err(JobError::Retry("a notice that Resend has just forgotten".to_owned())),
        Mailed::NotSent(error) => {
            store.breach_not_announced(&incident.id, &reached.tenant, &mailing).await?;
            return Err(error);
        }
        Mailed::Unknown(error) => return Err(error),
    }
    Ok(())
}

/// Whom to write to: the merchant as the latest installation of the shop knows it, or else as the one does that was reached.
async fn addressee(
    store: &Store,
    tenant: &Tenant,
) -> Result<Option<(Installation, Personal<String>)>, JobError> {
    let latest = store.installation(&tenant.shop).await?;
    let earlier = match &latest {
        Some(latest) if latest.tenant != *tenant => store.tenant(tenant).await?,
        _ => None,
    };
    for installation in latest.into_iter().chain(earlier) {
        if let Some(email) = installation.profile()?.email {
            return Ok(Some((installation, email)));
        }
    }
    Ok(None)
}
