//! Drafts a reply to a mail that was understood: with the orders of whoever wrote, by Claude where the merchant lets it and by
//! the merchant's own texts elsewhere. Each draft is reviewed before it is stored; what may not be sent by itself waits for a
//! person. Whatever cannot be had, a person finds at least an empty draft that says why.

mod texts;

use std::time::Duration;

use futures::try_join;
use storeward_clients::claude::Model;
use storeward_core::desk::context::OrderContext;
use storeward_core::desk::mask::{Known, Masker};
use storeward_core::desk::prompt::{self, By, Matter, Turn};
use storeward_core::desk::review::{self, Allowed, Conversation, Review, Verdict};
use storeward_core::desk::template::{self, Occasion};
use storeward_core::instructions::DeskActivity;
use storeward_core::intent::{Intent, Language};
use storeward_core::mail::Address;
use storeward_core::personal::Personal;
use storeward_core::time::{DAY, Timestamp};
use storeward_host::{
    Claude, Context, DeskTask, Function, JobError, Orders, Queue, Setting, ShopWords, job, order_about,
};
use storeward_store::{
    Author, Desk, DraftState, Installation, MailPhase, NewDraft, PutDraft, StoredMail, Thread, ThreadDraft,
    Understanding,
};

/// How long Claude may take for one draft.
const PATIENCE: Duration = Duration::from_secs(75);

/// The function.
pub const FUNCTION: Function = Function {
    name: "jobs/draft-reply",
    needs: &[
        &Setting::STORE,
        &Setting::ADMIN,
        &Setting::CLAUDE,
        &[Setting::DraftReplyQueueUrl, Setting::SendReplyQueueUrl, Setting::Log],
    ],
    run: |ctx, invocation| Box::pin(job(ctx, invocation, "jobs/draft-reply", handle)),
};

/// What a draft is made of.
struct Material<'a> {
    installation: &'a Installation,
    desk: &'a Desk,
    thread: &'a Thread,
    mail: &'a StoredMail,
    understanding: &'a Understanding,
    mails: &'a [StoredMail],
    order: Option<&'a OrderContext>,
    shop: &'a ShopWords,
}

/// What somebody, or something, wrote.
struct Written {
    text: Personal<String>,
    language: Option<Language>,
    author: Author,
    macro_id: Option<String>,
    review: Option<Review>,
    /// Why a person has to look, besides what the review says.
    doubts: Vec<String>,
}

/// What came of having Claude write.
enum ByClaude {
    Written(Box<Written>),
    /// It is not used: the merchant's own texts are.
    NotAsked,
    /// The task was put off.
    Later,
    /// It gave nothing that can be used; why.
    Useless(String),
}

/// Works on one mail. Doing it again finds the draft, and gives the same task to the next job again.
///
/// # Errors
/// Retry while the store or a queue is unavailable; drop when the shop or the mail are gone, or there is nothing to draft.
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
    let Some(thread) = store.thread(&installation, &mail.thread).await? else {
        return Err(JobError::Drop("there is no such conversation"));
    };
    match mail.phase {
        MailPhase::Arrived => return Err(JobError::Drop("the mail was not understood yet")),
        MailPhase::Understood => {}
        // An earlier run may have ended before it said that a reply is to be sent.
        MailPhase::Done => return say_what_is_scheduled(ctx, &installation, &thread, &task).await,
    }
    let desk = store.desk(&installation).await?;
    let understanding = mail.understanding.clone().filter(|made| made.draft);
    // Nothing is drafted for what was switched off since, and nothing for who can read no answer.
    let (Some(understanding), Some(to)) = (understanding, mail.answered().cloned()) else {
        return Ok(store.mail_done(&installation, &mail, task.due_at).await?);
    };
    let off = !desk.settings.allow(DeskActivity::DraftReplies);
    // Nothing is asked of anybody for a draft that would not be stored: `put_draft` looks again.
    if off || is_answered(&thread, &mail) || thread.drafts.iter().any(is_a_persons) {
        return Ok(store.mail_done(&installation, &mail, task.due_at).await?);
    }
    let mut doubts = Vec::new();
    let (orders, mails) =
        try_join!(async { Ok::<_, JobError>(ctx.orders_of(&installation, &to.address).await?) }, async {
            Ok(store.mails_of(&installation, &thread).await?)
        },)?;
    let orders = match orders {
        Orders::Found(orders) => orders,
        Orders::Later if ctx.put_off(Queue::DraftReply, &task, Duration::ZERO).await? => return Ok(()),
        Orders::Later | Orders::Closed => {
            if matches!(understanding.intent, Intent::Refund | Intent::Shipping) {
                doubts.push("the orders of whoever wrote could not be read".to_owned());
            }
            Vec::new()
        }
    };
    let texts = [mail.subject.expose().as_str(), mail.new_text.expose().as_str()];
    let material = Material {
        installation: &installation,
        desk: &desk,
        thread: &thread,
        mail: &mail,
        understanding: &understanding,
        mails: &mails,
        order: order_about(&orders, &texts),
        shop: &ShopWords::of(&installation)?,
    };
    let Some(mut written) = Box::pin(write(ctx, &material, &task)).await? else { return Ok(()) };
    written.doubts.append(&mut doubts);
    let new = draft_of(&material, to, written);
    match store.put_draft(&installation, &mail, new, task.due_at).await? {
        PutDraft::Stored { draft, send_due: Some(at) } => {
            let next = DeskTask::new(task.tenant, draft, at);
            ctx.send(Queue::SendReply, &next, at.since(ctx.now())).await?;
            Ok(())
        }
        PutDraft::Stored { send_due: None, .. } | PutDraft::KeptOther | PutDraft::MovedOn => Ok(()),
    }
}

/// Whether the shop wrote after this mail.
fn is_answered(thread: &Thread, mail: &StoredMail) -> bool {
    let later = thread.mails.iter().skip_while(|one| one.reference != mail.reference);
    later.skip(1).any(|one| one.own)
}

/// Whether a person wrote in it, or it is being sent: no other takes its place.
fn is_a_persons(draft: &ThreadDraft) -> bool {
    draft.state == DraftState::Sending || (draft.edited && !draft.state.has_ended())
}

/// Has the reply to a mail sent that a rule scheduled, should that not have been said.
async fn say_what_is_scheduled(
    ctx: &Context,
    installation: &Installation,
    thread: &Thread,
    task: &DeskTask,
) -> Result<(), JobError> {
    let drafts = ctx.store().await?.drafts_of(installation, thread).await?;
    let scheduled =
        drafts.iter().find(|draft| draft.mail == task.record && draft.state == DraftState::Scheduled);
    let Some((draft, at)) = scheduled.and_then(|draft| Some((draft, draft.send_at?))) else { return Ok(()) };
    let next = DeskTask::new(task.tenant.clone(), draft.reference.clone(), at);
    Ok(ctx.send(Queue::SendReply, &next, at.since(ctx.now())).await?)
}

/// Writes the text of a reply; `None` when the task was put off.
async fn write(ctx: &Context, material: &Material<'_>, task: &DeskTask) -> Result<Option<Written>, JobError> {
    let (settings, made) = (&material.desk.settings, material.understanding);
    // A rule that names a text means that text.
    let by_rule = made.auto_send_after.is_some() || made.macro_id.is_some();
    let mut why_not = None;
    if settings.allow(DeskActivity::DraftWithClaude) && !by_rule {
        match by_claude(ctx, material, task).await? {
            ByClaude::Written(written) => return Ok(Some(*written)),
            ByClaude::Later => return Ok(None),
            ByClaude::NotAsked => {}
            ByClaude::Useless(why) => why_not = Some(why),
        }
    }
    let mut written = by_template(material);
    written.doubts.extend(why_not);
    Ok(Some(written))
}

fn by_template(material: &Material<'_>) -> Written {
    let made = material.understanding;
    let occasion = Occasion {
        intent: made.intent,
        language: made.language,
        macro_id: made.macro_id.as_deref(),
        order: material.order,
        sender_name: material.mail.answered().and_then(|to| to.name.as_ref()),
        shop_name: &material.shop.name,
    };
    let Some(draft) = template::draft(&occasion, &material.desk.settings, &material.desk.macros) else {
        return Written {
            text: Personal::default(),
            language: made.language,
            author: Author::Template,
            macro_id: None,
            review: None,
            doubts: vec!["there is no text for this".to_owned()],
        };
    };
    let review = review_of(material, &draft.text, Some(draft.language), None);
    Written {
        text: draft.text,
        language: Some(draft.language),
        author: Author::Template,
        macro_id: draft.macro_id,
        review: Some(review),
        doubts: Vec::new(),
    }
}

async fn by_claude(ctx: &Context, material: &Material<'_>, task: &DeskTask) -> Result<ByClaude, JobError> {
    let (desk, made) = (material.desk, material.understanding);
    let known = known_of(material);
    let mut masker = Masker::new(&known);
    let turns: Vec<Turn<'_>> = material
        .mails
        .iter()
        .filter(|mail| mail.received_at <= material.mail.received_at)
        .map(|mail| Turn { by: if mail.own { By::Shop } else { By::Customer }, text: &mail.new_text })
        .collect();
    let matter = Matter {
        intent: made.intent,
        language: made.language,
        subject: &material.thread.subject,
        turns: &turns,
        order: material.order,
        shop_name: &material.shop.name,
    };
    let question = prompt::draft(&mut masker, &desk.settings, &desk.macros, &matter);
    let answer = match ctx.ask_claude(material.installation, Model::Sonnet, question, PATIENCE).await? {
        Claude::Answered(answer) => answer,
        Claude::NotAsked => return Ok(ByClaude::NotAsked),
        Claude::Later(after) if ctx.put_off(Queue::DraftReply, task, after).await? => {
            return Ok(ByClaude::Later);
        }
        Claude::Later(_) => return Ok(ByClaude::Useless("Claude was not to be had".to_owned())),
        Claude::Useless(why) => return Ok(ByClaude::Useless(why.to_owned())),
    };
    let drafted = match prompt::read_draft(&masker, &desk.settings, &answer) {
        Ok(drafted) => drafted,
        Err(problem) => return Ok(ByClaude::Useless(format!("Claude was asked: {problem}"))),
    };
    let review =
        review_of(material, &drafted.text, drafted.language, Some(&masker)).and_commits(drafted.commits);
    let doubts = drafted.needs_human.then(|| "Claude wants a person to read it".to_owned());
    Ok(ByClaude::Written(Box::new(Written {
        text: drafted.text,
        language: drafted.language,
        author: Author::Claude,
        macro_id: None,
        review: Some(review),
        doubts: doubts.into_iter().collect(),
    })))
}

/// Everybody who takes part, and what the order says: what must not leave whatever the mails say.
fn known_of(material: &Material<'_>) -> Known {
    let heads = material
        .mails
        .iter()
        .flat_map(|mail| mail.from.iter().chain(&mail.reply_to).chain(&mail.to).chain(&mail.cc));
    let people = material.thread.people.iter().chain(heads).chain(material.mail.answered());
    let known = Known::default().people(people);
    match material.order {
        Some(order) => order.known(known),
        None => known,
    }
}

fn review_of(
    material: &Material<'_>,
    text: &Personal<String>,
    language: Option<Language>,
    masker: Option<&Masker<'_>>,
) -> Review {
    let desk = material.desk;
    let domains: Vec<&str> = material.shop.domains.iter().map(String::as_str).collect();
    let allowed = Allowed::of(&domains, &desk.settings, &desk.macros);
    let customer =
        material.mail.answered().into_iter().fold(Known::default(), |known, to| known.email(&to.address));
    let customer = match material.order {
        Some(order) => order.known(customer),
        None => customer,
    };
    review::review(
        text,
        &Conversation {
            allowed: &allowed,
            customer: &customer,
            masker,
            order: material.order,
            instructions: prompt::instructions(),
            language,
        },
    )
}

/// Whether the shop wrote in the conversation within the last day. Whoever answers to an answer wants a person, or is a
/// program that answers whatever comes.
fn is_in_exchange(material: &Material<'_>) -> bool {
    let since = material.mail.received_at - DAY;
    material.thread.mails.iter().any(|mail| mail.own && mail.received_at > since)
}

/// The draft as it is stored. By itself is sent only a text of the merchant's own that passed its review and commits to
/// nothing, about what may be answered without a person.
fn draft_of(material: &Material<'_>, to: Address, written: Written) -> NewDraft {
    let (settings, made) = (&material.desk.settings, material.understanding);
    let may_be_sent = written.review.as_ref().is_some_and(Review::may_be_sent)
        && written.doubts.is_empty()
        && written.macro_id.is_some()
        && settings.allow(DeskActivity::SendByRule)
        && !is_in_exchange(material)
        && !made.escalate
        && !settings.never_automatic.contains(&made.intent);
    let concerns = match &written.review {
        Some(Review { verdict: Verdict::NeedsHuman(concerns), .. }) => {
            concerns.iter().map(|concern| texts::concern(*concern).to_owned()).collect()
        }
        _ => Vec::new(),
    };
    let commits: Vec<&str> =
        written.review.iter().flat_map(|review| &review.commits).map(|one| one.name()).collect();
    let needs_human = !written.doubts.is_empty()
        || !concerns.is_empty()
        || written.review.is_none()
        || (made.auto_send_after.is_some() && !may_be_sent);
    let mut why = written.doubts;
    why.extend(concerns);
    if !commits.is_empty() {
        why.push(format!("it commits the shop to: {}", commits.join(", ")));
    }
    // An order is quoted when the text names it.
    let orders = material.order.filter(|order| {
        let name = order.name.expose();
        !name.is_empty() && written.text.expose().contains(name.as_str())
    });
    NewDraft {
        text: written.text,
        to,
        subject: material.mail.subject.clone(),
        needs_human,
        auto_send_after: made.auto_send_after.filter(|_| may_be_sent),
        author: written.author,
        macro_id: written.macro_id,
        language: written.language,
        orders: orders.map(|order| order.name.clone()).into_iter().collect(),
        why,
    }
}
