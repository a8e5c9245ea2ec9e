//! The front of Pub/Sub's pushes: who is calling, and what Gmail tells. Nothing of a push is read before its token counts, and
//! nothing is looked up before it is read. What a token and a notice must say is `core::push`'s.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_clients::issuer::KeyDocument;
use storeward_core::jwt::key_named;
use storeward_core::push::{ExpectedPush, LARGEST, MailboxNotice, PushToken};
use storeward_store::{By, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};
use crate::problem::{Problem, ProblemKind, answer};
use crate::settings::Setting;
use crate::url_event::UrlEvent;

/// Pub/Sub waits for ten seconds unless its subscription says otherwise: by then it must have an answer.
const BUDGET: Duration = Duration::from_secs(8);

/// What became of a push that counts. Each of them is acknowledged: sending it again would not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// So many mailboxes are read: one address can be connected by more than one shop.
    Queued(usize),
    /// Nobody connected that mailbox, or nobody has it any more.
    UnknownMailbox,
    /// It is no notice of Gmail.
    Malformed,
}

impl Pushed {
    const fn name(self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::UnknownMailbox => "unknown mailbox",
            Self::Malformed => "malformed",
        }
    }
}

/// Runs a function that Pub/Sub pushes to. What counts is answered 204, also where nothing comes of it.
///
/// # Errors
/// When the event is not one of a function URL; everything else becomes an answer.
pub async fn push<'a, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    function: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    F: FnOnce(&'a Context, MailboxNotice) -> Fut,
    Fut: Future<Output = Result<Pushed, HostError>>,
{
    let event = UrlEvent::read(invocation.event)?;
    let work = async {
        if let Err(refused) = verify(ctx, &event).await? {
            return Ok(Err(refused));
        }
        let Ok(bytes) = event.bytes(LARGEST) else { return Ok(Ok(Pushed::Malformed)) };
        let notice = match MailboxNotice::read(&bytes) {
            Ok(notice) => notice,
            Err(fault) => {
                tracing::warn!(function, %fault, "a push that is no notice");
                return Ok(Ok(Pushed::Malformed));
            }
        };
        let attempt = notice.attempt;
        let who = event.origin().acting(ctx, By::system(function)).await;
        let pushed = acting(who, handle(ctx, notice)).await?;
        tracing::info!(function, attempt, "notice");
        Ok::<_, HostError>(Ok(pushed))
    };
    let outcome = tokio::time::timeout(BUDGET, work)
        .await
        .unwrap_or_else(|_| Err(HostError::Aws { operation: "push", code: "out of time".to_owned() }));
    Ok(match outcome {
        Ok(Ok(pushed)) => {
            // Counted by these words.
            tracing::info!(function, outcome = pushed.name(), "pushed");
            let mut answered = answer(204, "application/json", &Value::Null);
            answered["body"] = json!("");
            answered
        }
        Ok(Err(problem)) => {
            tracing::warn!(function, problem = problem.kind.id(), "a push was refused");
            let mut answered = problem.answer();
            if problem.kind == ProblemKind::MethodNotAllowed {
                answered["headers"]["allow"] = json!("POST");
            }
            answered
        }
        Err(error) => {
            // Pub/Sub sends it again.
            tracing::error!(function, %error, "push failed");
            Problem::new(ProblemKind::Unavailable, "send it again").answer()
        }
    })
}

/// Whether it is our subscription that pushes.
async fn verify(ctx: &Context, event: &UrlEvent) -> Result<Result<(), Problem>, HostError> {
    if event.method() != "POST" {
        return Ok(Err(Problem::new(ProblemKind::MethodNotAllowed, "use POST")));
    }
    let invalid = |detail: String| Ok(Err(Problem::new(ProblemKind::InvalidPushToken, detail)));
    let named = event.bearer().and_then(|token| key_named(token).map(|kid| (token, kid)));
    let Some((token, kid)) = named else {
        return invalid("send Authorization: Bearer and a token that Google signed".to_owned());
    };
    let expected = ExpectedPush {
        audience: ctx.setting(Setting::PushAudience)?,
        service_account: ctx.setting(Setting::PushServiceAccount)?,
    };
    let address = ctx.setting(Setting::GoogleKeysUrl)?;
    let asking = async { KeyDocument::new(address)?.keys().await };
    let keys = ctx.google_keys.keys(&kid, ctx.now(), asking).await.map_err(HostError::Google)?;
    match PushToken::verify(token, &expected, &keys, ctx.now()) {
        Ok(_) => Ok(Ok(())),
        Err(fault) if fault.is_of_another() => {
            Ok(Err(Problem::new(ProblemKind::WrongSubscription, fault.to_string())))
        }
        Err(fault) => invalid(fault.to_string()),
    }
}
