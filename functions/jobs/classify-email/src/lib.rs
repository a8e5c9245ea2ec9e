//! Understands a mail: the built-in engine where it is sure, Claude where it is not and the merchant lets it; then the
//! merchant's rules say what follows. Whatever cannot be had, a mail ends understood, and at worst with a person.

use std::collections::BTreeMap;
use std::time::Duration;

use storeward_clients::claude::Model;
use storeward_core::desk::context::OrderState;
use storeward_core::desk::mask::{Known, Masker, orders_named};
use storeward_core::desk::prompt;
use storeward_core::desk::rules::{self, Facts, Rule};
use storeward_core::desk::settings::DeskSettings;
use storeward_core::instructions::DeskActivity;
use storeward_core::intent::{self, Reading};
use storeward_core::time::{DAY, Timestamp};
use storeward_host::{
    Claude, Context, DeskTask, Function, JobError, Orders, Queue, Setting, job, order_about,
};
use storeward_store::{Desk, Engine, Installation, MailPhase, StoredMail, Understanding};

/// How long Claude may take for one mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many orders that a mail names are noted.
const MOST_ORDERS: usize = 10;

/// After how long no rule answers a mail any more.
const LATE: Duration = DAY;

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/classify-email",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &Setting::CLAUDE,
        &[Setting::ClassifyEmailQueueUrl, Setting::DraftReplyQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/classify-email", handle)),
};

/// What is known of a mail so far.
struct Told {
    understanding: Understanding,
    /// Whether a person has to look, because something that should have been asked could not be.
    uncertain: bool,
}

/// Works on one mail. Doing it again gives the same task to the next job again.
///
/// # Errors
/// Retry while the store or a queue is unavailable; drop when the shop or the mail are gone.
pub async fn handle(ctx: &Context, task: DeskTask, _deadline: Timestamp) -> Result<(), JobError> {
    let store = ctx.store().await?;
    let Some(installation) = store.tenant(&task.tenant).await? else {
        return Err(JobError::Drop("the installation was purged"));
    };
    if !installation.is_installed() {
        return Err(JobError::Drop("the app was uninstalled"));
    }
    let Some(mail) = store.mail(&installation, &task.record).await? else {
        return Err(JobError::Drop("there is no such mail, or its use is limited"));
    };
    let due = match (mail.phase, &mail.understanding) {
        (MailPhase::Arrived, _) => {
            let desk = store.desk(&installation).await?;
            if !desk.settings.allow(DeskActivity::ReadMail) {
                // Switched off since it came: it is not looked at.
                return Ok(store.mail_done(&installation, &mail, task.due_at).await?);
            }
            let Some(understanding) = Box::pin(understand(ctx, &installation, &desk, &mail, &task)).await?
            else {
                return Ok(());
            };
            store.understood(&installation, &mail, &understanding, task.due_at).await?
        }
        // Understood before: an earlier run may have ended before it said so.
        (_, Some(understanding)) => {
            store.understood(&installation, &mail, understanding, task.due_at).await?
        }
        // Nothing was to be found out: the shop wrote it, or reading was switched off.
        (_, None) => None,
    };
    if let Some(due_at) = due {
        let next = DeskTask::new(task.tenant, mail.reference, due_at);
        ctx.send(Queue::DraftReply, &next, Duration::ZERO).await?;
    }
    Ok(())
}

/// What is to be made of a mail; `None` when the task was put off.
async fn understand(
    ctx: &Context,
    installation: &Installation,
    desk: &Desk,
    mail: &StoredMail,
    task: &DeskTask,
) -> Result<Option<Understanding>, JobError> {
    let Some(mut told) = tell(ctx, installation, &desk.settings, mail, task).await? else { return Ok(None) };
    let mut order_state = OrderState::None;
    let mut returning_customer = false;
    let sender = mail.from.as_ref().map(|from| from.address.clone()).unwrap_or_default();
    if mail.automatic.is_none() && desk.rules.iter().any(Rule::asks_for_orders) {
        match ctx.orders_of(installation, &sender).await? {
            Orders::Found(orders) => {
                let texts = [mail.subject.expose().as_str(), mail.new_text.expose().as_str()];
                order_state = order_about(&orders, &texts).map_or(OrderState::None, |order| order.state);
                returning_customer = !orders.is_empty();
            }
            Orders::Closed => {}
            Orders::Later => {
                if ctx.put_off(Queue::ClassifyEmail, task, Duration::ZERO).await? {
                    return Ok(None);
                }
                told.uncertain = true;
            }
        }
    }
    let facts = Facts {
        intent: told.understanding.intent,
        confidence: told.understanding.confidence,
        sender,
        order_state,
        language: told.understanding.language,
        received_at: mail.received_at,
        subject: mail.subject.clone(),
        text: mail.new_text.clone(),
        attachments: mail.attachments.len(),
        automatic: mail.automatic.is_some(),
        returning_customer,
    };
    let plan = rules::evaluate(&desk.rules, &desk.settings, &desk.macros, &facts);
    let mut made = told.understanding;
    // What could not be told for certain is for a person to send, whatever rules say; so is an answer to what came long ago,
    // as when a mailbox is read for the first time.
    let is_late = mail.received_at + LATE <= ctx.now();
    let sends = plan.auto_send.filter(|_| !told.uncertain && !is_late);
    made.labels = plan.labels;
    made.assign = plan.assign;
    made.escalate = plan.escalate || told.uncertain;
    made.ignore = plan.ignore;
    made.draft = plan.draft;
    made.auto_send_after = sends.map(|send| send.after_minutes.saturating_mul(60));
    made.macro_id = plan.macro_id;
    made.matched = plan.rules;
    if is_late {
        made.why.push("it came more than a day ago: nothing is sent by itself".to_owned());
    }
    made.why.extend(plan.why.iter().map(|why| {
        let reason = why.reason.words();
        why.rule.as_ref().map_or_else(|| reason.to_owned(), |rule| format!("rule {rule}: {reason}"))
    }));
    Ok(Some(made))
}

/// What a mail is about; `None` when the task was put off because Claude is to be asked and not to be had.
async fn tell(
    ctx: &Context,
    installation: &Installation,
    settings: &DeskSettings,
    mail: &StoredMail,
    task: &DeskTask,
) -> Result<Option<Told>, JobError> {
    let reading = Reading { subject: Some(mail.subject.expose()), text: mail.new_text.expose() };
    let read = intent::classify(&reading);
    let mut understanding = Understanding {
        intent: read.intent,
        confidence: read.confidence,
        language: read.language,
        sentence: read.sentence,
        engine: Engine::BuiltIn,
        orders: orders_named(&format!("{}\n{}", mail.subject.expose(), mail.new_text.expose()), MOST_ORDERS),
        labels: std::collections::BTreeSet::new(),
        assign: None,
        escalate: false,
        ignore: false,
        draft: false,
        auto_send_after: None,
        macro_id: None,
        matched: Vec::new(),
        why: vec![because(&read.evidence)],
    };
    // A machine's mail is answered by nobody: it is not worth a question.
    let sure = read.confidence >= settings.threshold || mail.automatic.is_some();
    if sure || !settings.allow(DeskActivity::ClassifyWithClaude) {
        ctx.store().await?.count_understood(installation, Some(Engine::BuiltIn), 0, 0).await?;
        return Ok(Some(Told { understanding, uncertain: false }));
    }
    let known = known_of(mail);
    let mut masker = Masker::new(&known);
    let question = prompt::classify(&mut masker, &mail.subject, &mail.new_text);
    let uncertain = match ctx.ask_claude(installation, Model::Haiku, question, PATIENCE).await? {
        Claude::Answered(answer) => match prompt::read_classification(&masker, &answer) {
            Ok(told) => {
                understanding.intent = told.intent;
                understanding.confidence = told.confidence;
                understanding.language = told.language.or(understanding.language);
                understanding.sentence = told.sentence;
                understanding.engine = Engine::Claude;
                understanding.why = vec!["Claude read it: the built-in engine was not sure".to_owned()];
                return Ok(Some(Told { understanding, uncertain: false }));
            }
            Err(problem) => {
                understanding.why.push(format!("Claude was asked: {problem}"));
                true
            }
        },
        Claude::NotAsked => {
            understanding.why.push("not sure, and Claude is not used".to_owned());
            false
        }
        Claude::Later(after) => {
            if ctx.put_off(Queue::ClassifyEmail, task, after).await? {
                return Ok(None);
            }
            understanding.why.push("not sure, and Claude was not to be had".to_owned());
            true
        }
        Claude::Useless(why) => {
            understanding.why.push(why.to_owned());
            true
        }
    };
    ctx.store().await?.count_understood(installation, Some(Engine::BuiltIn), 0, 0).await?;
    Ok(Some(Told { understanding, uncertain }))
}

/// Whom a mail names in its head: what must not leave whatever the text says.
fn known_of(mail: &StoredMail) -> Known {
    Known::default().people(mail.from.iter().chain(&mail.reply_to).chain(&mail.to).chain(&mail.cc))
}

/// What spoke for it, in our own terms: the mail's words are not in it.
fn because(evidence: &[intent::Evidence]) -> String {
    let mut terms: BTreeMap<&str, f64> = BTreeMap::new();
    for one in evidence.iter().filter(|one| !one.negated) {
        let weight = terms.entry(one.term.as_str()).or_default();
        *weight += one.bits;
    }
    let mut terms: Vec<(&str, f64)> = terms.into_iter().collect();
    terms.sort_by(|one, other| other.1.total_cmp(&one.1));
    let strongest: Vec<String> =
        terms.iter().take(3).map(|(term, bits)| format!("{term} ({bits:+.1})")).collect();
    if strongest.is_empty() { "nothing speaks for anything".to_owned() } else { strongest.join(", ") }
}
