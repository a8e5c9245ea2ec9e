//! Breaches of personal data, for operators: opened, described, told of and closed here. Finding who is affected and telling
//! them is `handle-incident`'s; the clock is `watch-incidents`'s.

use std::time::Duration;

use storeward_api::{
    ClosingBody, IncidentBody, IncidentsBody, NewIncidentBody, ToldOtherwiseBody, WordsBody,
};
use storeward_core::data_map::Kind;
use storeward_core::incident::{Reach, Words, countable};
use storeward_core::personal::Personal;
use storeward_core::roles::OperatorPermission;
use storeward_core::time::Timestamp;
use storeward_host::{
    ApiError, ApiReply, Context, Function, IncidentOrder, OperatorRequest, OperatorRoute, Problem,
    ProblemKind, Queue, Setting, is_file_number, operator_api,
};
use storeward_store::{Incident, NewIncident, Phase, Reached};

/// The function's routes.
pub const ROUTES: &[OperatorRoute] = &[
    OperatorRoute {
        key: "POST /operator/v1/incidents",
        personal: false,
        needs: OperatorPermission::ManageIncidents,
        handle: |ctx, request| Box::pin(open(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/incidents",
        personal: false,
        needs: OperatorPermission::ViewIncidents,
        handle: |ctx, request| Box::pin(list(ctx, request)),
    },
    OperatorRoute {
        key: "GET /operator/v1/incidents/{id}",
        personal: false,
        needs: OperatorPermission::ViewIncidents,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    OperatorRoute {
        key: "PUT /operator/v1/incidents/{id}/words",
        personal: false,
        needs: OperatorPermission::ManageIncidents,
        handle: |ctx, request| Box::pin(describe(ctx, request)),
    },
    OperatorRoute {
        key: "POST /operator/v1/incidents/{id}/notices",
        personal: false,
        needs: OperatorPermission::ManageIncidents,
        handle: |ctx, request| Box::pin(notify(ctx, request)),
    },
    OperatorRoute {
        key: "POST /operator/v1/incidents/{id}/closing",
        personal: false,
        needs: OperatorPermission::ManageIncidents,
        handle: |ctx, request| Box::pin(close(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "operator/breaches",
    needs: &[&Setting::STORE, &[Setting::HandleIncidentQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(operator_api(ctx, invocation, "operator/breaches", ROUTES)),
};

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidBody, detail)
}

fn time(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let wrong = || wrong(format!("{name}: write a time as RFC 3339, like 2026-11-01T09:30:00Z"));
    Timestamp::parse_rfc3339(text).ok_or_else(wrong)
}

fn kind(name: &str) -> Result<Kind, Problem> {
    let known = || Kind::ALL.into_iter().filter(|kind| countable(*kind));
    let names = || known().map(Kind::name).collect::<Vec<_>>().join(", ");
    known().find(|kind| kind.name() == name).ok_or_else(|| wrong(format!("kinds: choose among {}", names())))
}

async fn found(ctx: &Context, request: &OperatorRequest) -> Result<Incident, ApiError> {
    request.know(&[])?;
    let incident = ctx.store().await?.incident(request.id()?).await?;
    Ok(incident.ok_or_else(Problem::not_found)?)
}

async fn shown(ctx: &Context, id: &str) -> Result<ApiReply, ApiError> {
    let store = ctx.store().await?;
    let incident = store.incident(id).await?.ok_or_else(Problem::not_found)?;
    ApiReply::ok(&IncidentBody::of(&incident, &store.reached(id).await?))
}

/// Has the breach moved on by its job. Should the message be lost, the hourly watch sends another.
async fn go_on(ctx: &Context, id: &str) -> Result<ApiReply, ApiError> {
    let order = IncidentOrder { incident: id.to_owned() };
    ctx.send(Queue::HandleIncident, &order, Duration::ZERO).await?;
    shown(ctx, id).await
}

async fn open(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let body: NewIncidentBody = request.body()?;
    let kinds = match body.kinds {
        Some(names) if names.is_empty() => {
            return Err(wrong("kinds: name one at least, or leave it out for all").into());
        }
        Some(names) => names.iter().map(|name| kind(name)).collect::<Result<_, _>>()?,
        None => Reach::everything(),
    };
    let reach = Reach { from: time("from", &body.from)?, until: time("until", &body.until)?, kinds };
    let new = NewIncident {
        severity: body.severity,
        drill: body.drill,
        aware_at: time("aware_at", &body.aware_at)?,
        reach,
        words: body.words.into(),
    };
    new.reach.check(new.aware_at, ctx.now()).map_err(|fault| wrong(fault.to_string()))?;
    new.words.check().map_err(|fault| wrong(fault.to_string()))?;
    let incident = ctx.store().await?.open_incident(&new).await?;
    go_on(ctx, &incident.id).await
}

async fn list(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    let incidents = ctx.store().await?.incidents().await?;
    let bodies = incidents.iter().map(|incident| IncidentBody::of(incident, &[])).collect();
    ApiReply::ok(&IncidentsBody { incidents: bodies })
}

async fn read(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    request.know(&[])?;
    shown(ctx, request.id()?).await
}

fn changed() -> ApiError {
    let detail = "read the incident again: it changed, or it is not where this can be done";
    Problem::new(ProblemKind::IncidentNotThere, detail).into()
}

async fn describe(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    let incident = found(ctx, &request).await?;
    let words: Words = request.body::<WordsBody>()?.into();
    words.check().map_err(|fault| wrong(fault.to_string()))?;
    if !ctx.store().await?.describe_incident(&incident, &words).await? {
        return Err(changed());
    }
    shown(ctx, &incident.id).await
}

fn filed(reference: &Personal<String>) -> Result<&str, Problem> {
    let reference = reference.expose().as_str();
    let detail = "reference: the number in your files, of capitals, digits and hyphens, like T-2026-17";
    if is_file_number(reference) { Ok(reference) } else { Err(wrong(detail)) }
}

/// From here on merchants are told: only when everything is said, and who is affected is known. Asking again starts it again.
/// With a body it records that some of them were told in another way, by letter or telephone.
async fn notify(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    let incident = found(ctx, &request).await?;
    if let Some(told) = request.optional_body::<ToldOtherwiseBody>()? {
        return told_otherwise(ctx, &incident, &told).await;
    }
    incident.words.complete().map_err(|fault| wrong(fault.to_string()))?;
    if incident.phase != Phase::Notifying
        && !ctx.store().await?.advance_incident(&incident, Phase::Notifying).await?
    {
        return Err(changed());
    }
    go_on(ctx, &incident.id).await
}

async fn told_otherwise(
    ctx: &Context,
    incident: &Incident,
    told: &ToldOtherwiseBody,
) -> Result<ApiReply, ApiError> {
    let reference = filed(&told.reference)?;
    let store = ctx.store().await?;
    // Before, what has to be said is not fixed; afterwards everybody was told.
    if !matches!(incident.phase, Phase::Notifying | Phase::Notified) {
        return Err(changed());
    }
    let reached = store.reached(&incident.id).await?;
    for shop in &told.shops {
        if !reached.iter().any(|reached| reached.tenant.shop.as_str() == shop) {
            return Err(wrong("shops: name shops of this incident as it lists them").into());
        }
    }
    let named = |reached: &&Reached| told.shops.iter().any(|shop| reached.tenant.shop.as_str() == shop);
    for reached in reached.iter().filter(named).filter(|reached| !reached.standing.is_told()) {
        store.breach_told_otherwise(incident, reached, reference).await?;
    }
    if incident.phase == Phase::Notified {
        return shown(ctx, &incident.id).await;
    }
    go_on(ctx, &incident.id).await
}

/// A breach ends when its merchants were told. Before any is, it takes a reason that is filed.
async fn close(ctx: &Context, request: OperatorRequest) -> Result<ApiReply, ApiError> {
    let incident = found(ctx, &request).await?;
    let body = request.optional_body::<ClosingBody>()?.unwrap_or_default();
    let reference = body.reference.as_ref().map(filed).transpose()?;
    let over =
        incident.phase == Phase::Closed || ctx.store().await?.close_incident(&incident, reference).await?;
    if !over && incident.phase == Phase::Assessed && reference.is_none() {
        let detail =
            "merchants are not told: tell them, or send as reference where it is filed why nobody has to be";
        return Err(Problem::new(ProblemKind::IncidentNotThere, detail).into());
    }
    if !over {
        return Err(changed());
    }
    shown(ctx, &incident.id).await
}
