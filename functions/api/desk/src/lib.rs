//! How the mail desk works for a merchant: its settings, rules and macros, read and replaced; rules tried on past mails;
//! and what the cascade saved. What settings, rules and macros mean is `core`'s; that a switch is heeded is the jobs'.

use std::cmp::Reverse;
use std::time::Duration;

use storeward_api::{
    DeskMonthBody, DeskSavingsBody, DeskSettingsBody, DryRunBody, DryRunMail, DryRunRequest, MacrosBody,
    RuleBody, RulesBody,
};
use storeward_core::desk::context::OrderState;
use storeward_core::desk::rules::{Action, Facts, Rule};
use storeward_core::desk::settings::DeskSettings;
use storeward_core::desk::{macros, rules};
use storeward_core::instructions::DeskActivity;
use storeward_core::roles::Permission;
use storeward_host::{
    ApiError, ApiReply, ApiRequest, Context, Function, Problem, ProblemKind, Route, Setting, api,
};
use storeward_store::{Desk, StoredMail, ThreadFilter};

/// How many mails a dry run looks at.
const MAILS: usize = 100;

/// How many conversations are read at once.
const PAGE: usize = 25;

/// What is left of the function's time for asking the rules and answering when reading stops.
const REST: Duration = Duration::from_secs(10);

/// The function's routes.
pub const ROUTES: &[Route] = &[
    Route {
        key: "GET /v1/desk",
        personal: false,
        needs: Permission::ViewDesk,
        handle: |ctx, request| Box::pin(read(ctx, request)),
    },
    Route {
        key: "PUT /v1/desk",
        personal: false,
        needs: Permission::ChangeDesk,
        handle: |ctx, request| Box::pin(replace(ctx, request)),
    },
    Route {
        key: "GET /v1/desk/rules",
        personal: false,
        needs: Permission::ViewDesk,
        handle: |ctx, request| Box::pin(read_rules(ctx, request)),
    },
    Route {
        key: "PUT /v1/desk/rules",
        personal: false,
        needs: Permission::ChangeDesk,
        handle: |ctx, request| Box::pin(replace_rules(ctx, request)),
    },
    Route {
        key: "POST /v1/desk/rules/dry-run",
        personal: true,
        needs: Permission::ChangeDesk,
        handle: |ctx, request| Box::pin(try_rules(ctx, request)),
    },
    Route {
        key: "GET /v1/desk/macros",
        personal: false,
        needs: Permission::ViewDesk,
        handle: |ctx, request| Box::pin(read_macros(ctx, request)),
    },
    Route {
        key: "PUT /v1/desk/macros",
        personal: false,
        needs: Permission::ChangeDesk,
        handle: |ctx, request| Box::pin(replace_macros(ctx, request)),
    },
    Route {
        key: "GET /v1/desk/savings",
        personal: false,
        needs: Permission::ViewDesk,
        handle: |ctx, request| Box::pin(savings(ctx, request)),
    },
];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/desk",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(api(ctx, invocation, "api/desk", ROUTES)),
};

async fn stored(ctx: &Context, request: &ApiRequest) -> Result<Desk, ApiError> {
    request.know(&[])?;
    Ok(ctx.store().await?.desk(&request.installation).await?)
}

fn settings_of(desk: Desk) -> Result<ApiReply, ApiError> {
    Ok(ApiReply::ok(&DeskSettingsBody::from(desk.settings))?.at_revision(desk.revision))
}

fn rules_of(desk: Desk) -> Result<ApiReply, ApiError> {
    let rules = desk.rules.into_iter().map(RuleBody::from).collect();
    Ok(ApiReply::ok(&RulesBody { rules })?.at_revision(desk.revision))
}

fn macros_of(desk: Desk) -> Result<ApiReply, ApiError> {
    Ok(ApiReply::ok(&MacrosBody { macros: desk.macros })?.at_revision(desk.revision))
}

fn refused(problem: &impl ToString) -> Problem {
    Problem::new(ProblemKind::DeskRefused, problem.to_string())
}

/// Changes the desk at the revision that was read, or at the one that counts now when no revision is asked for.
async fn changed(
    ctx: &Context,
    request: &ApiRequest,
    change: impl FnOnce(&mut Desk) -> Result<(), Problem>,
) -> Result<Desk, ApiError> {
    let seen = request.if_match()?;
    let mut desk = stored(ctx, request).await?;
    let overtaken = || {
        let detail = "read it again, change it, and send its new ETag in If-Match";
        ApiError::from(Problem::new(ProblemKind::DeskChanged, detail))
    };
    if seen.is_some_and(|seen| seen != desk.revision) {
        return Err(overtaken());
    }
    change(&mut desk)?;
    if !ctx.store().await?.change_desk(&request.installation, &desk).await? {
        return Err(overtaken());
    }
    desk.revision += 1;
    Ok(desk)
}

async fn read(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    settings_of(stored(ctx, &request).await?)
}

async fn replace(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let put = |desk: &mut Desk| {
        let settings: DeskSettings =
            request.body_over(&DeskSettingsBody::from(desk.settings.clone()))?.into();
        settings.check().map_err(|problem| refused(&problem))?;
        let before = std::mem::replace(&mut desk.settings, settings);
        let switched = |one: &DeskActivity| one.switch(&before) != one.switch(&desk.settings);
        if DeskActivity::ALL.iter().any(switched) {
            request.permits(Permission::ChangePrivacy)?;
        }
        Ok(())
    };
    settings_of(changed(ctx, &request, put).await?)
}

async fn read_rules(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    rules_of(stored(ctx, &request).await?)
}

/// Rules that can count beside these macros, and give conversations to members of this shop's staff.
fn checked(request: &ApiRequest, sent: Vec<RuleBody>, desk: &Desk) -> Result<Vec<Rule>, Problem> {
    let sent: Vec<Rule> = sent.into_iter().map(Rule::from).collect();
    rules::check(&sent, &desk.macros).map_err(|problem| refused(&problem))?;
    let known = |id: &String| request.members.list().iter().any(|member| member.id == *id);
    let strangers = |action: &Action| matches!(action, Action::Assign { actor } if !known(actor.expose()));
    if let Some(place) = sent.iter().position(|rule| rule.then.iter().any(strangers)) {
        let detail = format!("rules[{place}].then: let actor be the id of a member of the list of members");
        return Err(Problem::new(ProblemKind::DeskRefused, detail));
    }
    Ok(sent)
}

async fn replace_rules(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let RulesBody { rules } = request.body()?;
    let put = |desk: &mut Desk| {
        desk.rules = checked(&request, rules, desk)?;
        Ok(())
    };
    rules_of(changed(ctx, &request, put).await?)
}

async fn read_macros(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    macros_of(stored(ctx, &request).await?)
}

async fn replace_macros(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let body: MacrosBody = request.body()?;
    let put = |desk: &mut Desk| {
        macros::check(&body.macros).map_err(|problem| refused(&problem))?;
        // A rule must not lose the text that it sends.
        rules::check(&desk.rules, &body.macros)
            .map_err(|problem| refused(&format!("the rules need what these macros lack: {problem}")))?;
        desk.macros = body.macros;
        Ok(())
    };
    macros_of(changed(ctx, &request, put).await?)
}

async fn try_rules(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    let DryRunRequest { rules: sent } = request.body()?;
    let desk = stored(ctx, &request).await?;
    let tried = match sent {
        Some(sent) => checked(&request, sent, &desk)?,
        None => desk.rules,
    };
    let (samples, complete) = latest(ctx, &request).await?;
    let (names, facts): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
    let outcomes = rules::dry_run(&tried, &desk.settings, &desk.macros, &facts);
    let mails = names.into_iter().zip(outcomes).map(|(Names { thread, mail }, outcome)| DryRunMail {
        thread,
        mail,
        received_at: outcome.received_at.to_rfc3339(),
        intent: outcome.intent,
        plan: outcome.plan,
    });
    ApiReply::ok(&DryRunBody { mails: mails.collect(), complete })
}

/// Which mail it is.
struct Names {
    thread: String,
    mail: String,
}

/// A mail as rules see it: a customer's, that was understood. What is known of orders is the shop's to tell, and is not
/// asked for again.
fn sample(mail: &StoredMail) -> Option<(Names, Facts)> {
    let understood = mail.understanding.as_ref().filter(|_| !mail.own)?;
    let facts = Facts {
        intent: understood.intent,
        confidence: understood.confidence,
        sender: mail.from.as_ref().map(|from| from.address.clone()).unwrap_or_default(),
        order_state: OrderState::None,
        language: understood.language,
        received_at: mail.received_at,
        subject: mail.subject.clone(),
        text: mail.new_text.clone(),
        attachments: mail.attachments.len(),
        automatic: mail.automatic.is_some(),
        returning_customer: false,
    };
    let names = Names { thread: mail.thread.id().to_owned(), mail: mail.reference.id().to_owned() };
    Some((names, facts))
}

/// The latest mails, the latest first, and whether there was time for all of them.
async fn latest(ctx: &Context, request: &ApiRequest) -> Result<(Vec<(Names, Facts)>, bool), ApiError> {
    let store = ctx.store().await?;
    let mut samples: Vec<(Names, Facts)> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let all = ThreadFilter::default();
        let page = store.threads(&request.installation, &all, cursor.as_deref(), PAGE).await?;
        let Some(page) = page else { return Ok((samples, false)) };
        for thread in &page.threads {
            // The conversations behind have no later mail than their own latest.
            let earliest = samples.get(MAILS - 1).map(|(_, facts)| facts.received_at);
            if earliest.is_some_and(|earliest| earliest >= thread.latest_at) {
                return Ok((samples, true));
            }
            if ctx.now() + REST >= request.deadline {
                return Ok((samples, false));
            }
            let mails = store.mails_of(&request.installation, thread).await?;
            samples.extend(mails.iter().filter_map(sample));
            samples.sort_by_key(|(_, facts)| Reverse(facts.received_at));
            samples.truncate(MAILS);
        }
        let Some(next) = page.next else { return Ok((samples, true)) };
        if ctx.now() + REST >= request.deadline {
            return Ok((samples, false));
        }
        cursor = Some(next);
    }
}

async fn savings(ctx: &Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
    request.know(&["months"])?;
    let months = request.number("months", 12, 24)?;
    let counted = ctx.store().await?.desk_counts(&request.installation, months).await?;
    ApiReply::ok(&DeskSavingsBody { months: counted.into_iter().map(DeskMonthBody::from).collect() })
}
