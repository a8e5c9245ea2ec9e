//! `GET /google/start` and `GET /google/callback`: a merchant's consent to a mailbox. Who began is stored with the attempt, for a
//! browser brings no session here; that the same browser comes back, its cookie proves.

use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::gmail::GmailError;
use storeward_clients::google::GrantError;
use storeward_core::google_oauth::{Callback, MailboxGrant, State, Verifier};
use storeward_host::{
    BrowserError, BrowserRequest, Context, Function, HostError, ProblemKind, Queue, Reply, Setting,
    SyncOrder, SyncWhy, browser, tokens_of,
};
use storeward_store::{Attempt, Connecting, Installation};

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/google-oauth",
    needs: &[
        &Setting::STORE,
        &Setting::GMAIL,
        &[
            Setting::GoogleAuthUrl,
            Setting::AppUrl,
            Setting::AdminAppUrl,
            Setting::SyncMailboxQueueUrl,
            Setting::Log,
        ],
    ],
    run: |ctx, invocation| Box::pin(browser(ctx, invocation, "api/google-oauth", "GET", handle)),
};

/// Sends the browser to Google, or connects the mailbox that it comes back with.
///
/// # Errors
/// A problem that says what to do; nothing is connected then.
pub async fn handle(ctx: &Context, request: BrowserRequest) -> Result<Reply, BrowserError> {
    match request.path.as_str() {
        "/google/start" => start(ctx, &request).await,
        "/google/callback" => finish(ctx, &request).await,
        _ => Err(BrowserError::problem(ProblemKind::NotFound, "open the app and connect the mailbox there")),
    }
}

async fn start(ctx: &Context, request: &BrowserRequest) -> Result<Reply, BrowserError> {
    let state = request.query.get("state").and_then(State::read).ok_or_else(began_elsewhere)?;
    let (_, attempt) = attempt(ctx, &state).await?;
    let to = ctx.google_consent(&state, &Verifier::kept(attempt.verifier)).await?;
    Ok(Reply::Redirect { to, state: Some(state.as_str().to_owned()) })
}

async fn finish(ctx: &Context, request: &BrowserRequest) -> Result<Reply, BrowserError> {
    let unreadable = || {
        let detail = "this is no answer of Google's: open the app and connect the mailbox again";
        BrowserError::problem(ProblemKind::InvalidQuery, detail)
    };
    let callback = Callback::read(&request.query).ok_or_else(unreadable)?;
    let (Callback::Agreed { state, .. } | Callback::Refused { state, .. }) = &callback;
    if !request.was_given(state.as_str()) {
        return Err(began_elsewhere());
    }
    let (installation, attempt) = attempt(ctx, state).await?;
    let code = match callback {
        Callback::Agreed { code, .. } => code,
        Callback::Refused { why, .. } => return Err(refused(&why)),
    };
    let verifier = Verifier::kept(attempt.verifier.clone());
    let grant = match ctx.mailbox_grant(&installation, &code, &verifier).await? {
        Ok(grant) => grant,
        Err(GrantError::Ended) => return Err(refused("invalid_grant")),
        Err(GrantError::Client(error)) => return Err(HostError::Google(error).into()),
    };
    let by = attempt.actor.clone();
    request.acting_for(by, connect(ctx, &installation, &attempt, grant)).await
}

/// Stores what was granted, and has the mailbox watched and read.
async fn connect(
    ctx: &Context,
    installation: &Installation,
    attempt: &Attempt,
    grant: MailboxGrant,
) -> Result<Reply, BrowserError> {
    if !grant.scopes.suffice() {
        give_back(ctx, installation, &grant).await;
        let detail = "connect the mailbox again and leave the permission to read, compose and send ticked";
        return Err(BrowserError::problem(ProblemKind::MailboxScopesLacking, detail));
    }
    let gmail = ctx.gmail_for(installation).await?;
    let profile = gmail.mailbox(&grant.access).profile().await.map_err(|error| match error {
        GmailError::ScopeLacking | GmailError::TokenEnded => refused("no access"),
        // An account without Gmail, or one whose administrator does not want this.
        GmailError::Client(ClientError::Rejected(why)) => refused(&why),
        GmailError::Client(error) => HostError::Google(error).into(),
    })?;
    let store = ctx.store().await?;
    let first_days = u32::from(store.desk(installation).await?.settings.first_sync_days);
    let connected = store
        .connect_mailbox(
            installation,
            attempt,
            &profile.address,
            &tokens_of(&grant),
            profile.history_id.0,
            first_days,
        )
        .await?;
    let Connecting::Connected { mailbox, again } = connected else { return Err(began_elsewhere()) };
    tracing::info!(%mailbox, again, "connected");
    let order = SyncOrder { tenant: installation.tenant.clone(), mailbox, why: SyncWhy::Connected };
    if let Err(error) = ctx.send(Queue::SyncMailbox, &order, Duration::ZERO).await {
        // It is connected; the due row that was written with it lets the sweep send another.
        tracing::warn!(%error, "a mailbox that was connected waits for the sweep");
    }
    let domain = installation.profile()?.domain;
    let to = ctx.setting(Setting::AdminAppUrl)?.replace("{shop}", domain.as_str());
    Ok(Reply::Redirect { to, state: None })
}

/// The attempt that a state names.
async fn attempt(ctx: &Context, state: &State) -> Result<(Installation, Attempt), BrowserError> {
    ctx.store().await?.connecting(state.as_str()).await?.ok_or_else(began_elsewhere)
}

/// Gives back what is of no use. Should Google not answer, the merchant sees it among the account's connections.
async fn give_back(ctx: &Context, installation: &Installation, grant: &MailboxGrant) {
    let revoked = match ctx.google_for(installation).await {
        Ok(google) => google.revoke(&grant.refresh_token).await.map_err(HostError::Google),
        Err(error) => Err(error),
    };
    if let Err(error) = revoked {
        tracing::warn!(%error, "what was granted was not given back");
    }
}

fn began_elsewhere() -> BrowserError {
    let detail =
        "begin again in the app, and finish in the same browser within ten minutes; each attempt counts once";
    BrowserError::problem(ProblemKind::StateMismatch, detail)
}

/// What a merchant is told by Google's code for a no.
fn refused(why: &str) -> BrowserError {
    let detail = match why {
        "access_denied" => {
            "you did not agree on Google's page: connect the mailbox again if that was not what you wanted"
        }
        "admin_policy_enforced" | "org_internal" | "domainPolicy" => {
            "an administrator of the mailbox's organisation does not allow the app: ask them first"
        }
        "invalid_grant" => "what Google sent was used or is too old: connect the mailbox again",
        "failedPrecondition" => "the account has no Gmail: choose another",
        _ => "Google gave no access: connect the mailbox again",
    };
    BrowserError::problem(ProblemKind::MailboxRefused, detail)
}
