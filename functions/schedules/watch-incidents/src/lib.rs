//! Every hour: the clocks of breaches that merchants were not told of yet. Somebody is reminded, and what stands still is
//! started again. `BreachUntoldAlarm` (template.yaml) turns every error that begins with "a breach " into a call.

use std::time::Duration;

use storeward_core::incident::{Clock, clock};
use storeward_host::{Context, Function, HostError, IncidentOrder, Queue, Setting, schedule};
use storeward_store::{Incident, Phase, ReachedStanding};

/// The function.
pub const FUNCTION: Function = Function {
    name: "schedules/watch-incidents",
    needs: &[&Setting::STORE, &[Setting::HandleIncidentQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(schedule(ctx, invocation, "schedules/watch-incidents", handle)),
};

/// Looks at every breach whose merchants were not all told, and says how many there were.
///
/// # Errors
/// What the store or the queue failed with: the next hour looks again.
pub async fn handle(ctx: &Context) -> Result<usize, HostError> {
    let store = ctx.store().await?;
    let ticking: Vec<Incident> =
        store.incidents().await?.into_iter().filter(|incident| incident.phase.is_ticking()).collect();
    for incident in &ticking {
        let now = ctx.now();
        let hours = now.since(incident.aware_at).as_secs() / 3600;
        let reached = store.reached(&incident.id).await?;
        let untold = reached.iter().filter(|reached| !reached.standing.is_told()).count();
        let unreachable =
            reached.iter().filter(|reached| reached.standing == ReachedStanding::Unreachable).count();
        match clock(incident.severity, incident.aware_at, now) {
            // Every hour, until it is done: there is nothing worse to say.
            Clock::Overdue => {
                tracing::error!(
                    incident = incident.id,
                    drill = incident.drill,
                    hours,
                    untold,
                    unreachable,
                    "a breach is overdue: merchants are not told"
                );
            }
            Clock::Reminded(due) if due > incident.reminded => {
                tracing::error!(
                    incident = incident.id,
                    drill = incident.drill,
                    hours,
                    untold,
                    unreachable,
                    "a breach is not told of yet"
                );
                // Changed meanwhile: then the next hour counts it.
                let _later = store.incident_reminded(incident, due).await?;
            }
            // No hour makes this better: somebody has to find another way.
            Clock::Quiet | Clock::Reminded(_) if unreachable > 0 => {
                tracing::error!(
                    incident = incident.id,
                    drill = incident.drill,
                    hours,
                    untold,
                    unreachable,
                    "a breach cannot be told of to every merchant by mail"
                );
            }
            Clock::Quiet | Clock::Reminded(_) => {}
        }
        if matches!(incident.phase, Phase::Assessing | Phase::Notifying) {
            let order = IncidentOrder { incident: incident.id.clone() };
            ctx.send(Queue::HandleIncident, &order, Duration::ZERO).await?;
        }
    }
    Ok(ticking.len())
}
