//! What a person is shown of conversations: that they are named in them, what they wrote, and what the shop answered them.
//! What others wrote in the same conversation is theirs.

use std::collections::BTreeSet;

use serde_json::json;
use storeward_core::data_map::{Kind, Table};
use storeward_core::mail::Address;
use storeward_core::normalize::{Identifier, IdentifierKind};
use storeward_core::time::Timestamp;

use crate::drafts::Draft;
use crate::error::Result;
use crate::exports::{ExportRecord, about};
use crate::keyspace::{self, Key, RecordRef};
use crate::store::{Expired, Store};
use crate::tenants::Installation;
use crate::threads::{Listed, ListedDraft, StoredMail, Thread};

/// How much of mails is shown whole, in bytes; beyond it, without the older mails that they quote.
const WHOLE: usize = 1_000_000;

/// The person, by the addresses that mails can name.
struct Known<'a>(&'a [Identifier]);

impl Known<'_> {
    fn is(&self, address: &Address) -> bool {
        let normal = address.normal();
        let same = |of: &Identifier| of.kind == IdentifierKind::Email && Some(&of.value) == normal.as_ref();
        self.0.iter().any(same)
    }

    /// Whether the person wrote a mail, or the shop wrote it to the person.
    fn sees(&self, mail: &StoredMail) -> bool {
        if mail.own {
            return mail.to.iter().chain(&mail.cc).any(|address| self.is(address));
        }
        mail.from.iter().chain(&mail.reply_to).any(|address| self.is(address))
    }
}

impl Store {
    /// What is stored of these conversations that is the person's to see.
    pub(crate) async fn mail_about(
        &self,
        installation: &Installation,
        person: &[Identifier],
        threads: &BTreeSet<RecordRef>,
    ) -> Result<Vec<ExportRecord>> {
        let tenant = &installation.tenant;
        let known = Known(person);
        let (mut of_threads, mut mails, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
        for reference in threads {
            // What is limited is kept, and shown to whom it is about.
            let Some(thread) = self.any_thread(installation, reference, Expired::Gone).await? else {
                continue;
            };
            let listed = thread.body.mails.iter().map(Listed::reference);
            let keys: Vec<Key> = listed
                .chain(thread.body.drafts.iter().map(ListedDraft::reference))
                .map(|reference| keyspace::record(tenant, &reference))
                .collect();
            for stored in self.batch_get(Table::Data, &keys, Expired::Gone).await? {
                if stored.optional_text("kind") == Some(Kind::Draft.name()) {
                    drafts.push(Draft::read(installation, &stored)?);
                } else {
                    mails.push(StoredMail::read(installation, &stored)?);
                }
            }
            of_threads.push(of_thread(&self.show(installation, thread).await?, &known));
        }
        mails.retain(|mail| known.sees(mail));
        mails.sort_by_key(|mail| mail.received_at);
        drafts.retain(|draft| known.is(&draft.to));
        drafts.sort_by_key(|draft| draft.created_at);
        let whole = mails.iter().map(|mail| mail.text.expose().len()).sum::<usize>() <= WHOLE;
        let mails = mails.iter().map(|mail| of_mail(mail, &known, whole));
        Ok(of_threads.into_iter().chain(mails).chain(drafts.iter().map(of_draft)).collect())
    }
}

fn of_thread(thread: &Thread, known: &Known<'_>) -> ExportRecord {
    let named: Vec<&Address> = thread.people.iter().filter(|person| known.is(person)).collect();
    // Whoever is only named in it by others does not see what they call it.
    let subject = (!named.is_empty()).then_some(&thread.subject);
    let data = json!({
        "subject": subject, "state": thread.state, "intent": thread.intent, "labels": thread.labels,
        "named_as": named, "first_at": thread.first_at.to_rfc3339(), "latest_at": thread.latest_at.to_rfc3339(),
    });
    about(Kind::Thread, data)
}

fn of_mail(mail: &StoredMail, known: &Known<'_>, whole: bool) -> ExportRecord {
    let text = if whole { &mail.text } else { &mail.new_text };
    let attachments: Vec<_> = mail.attachments.iter().map(|attachment| &attachment.name).collect();
    let understood = mail.understanding.as_ref().map(|understanding| {
        json!({
            "intent": understanding.intent, "confidence": understanding.confidence.basis_points(),
            "language": understanding.language, "sentence": understanding.sentence,
            "told_by": understanding.engine, "why": understanding.why,
        })
    });
    let mut data = json!({
        "written_by": if mail.own { "shop" } else { "you" },
        "received_at": mail.received_at.to_rfc3339(),
        "subject": mail.subject,
        "text": text,
        "quoted_mails_left_out": !whole,
        "attachments": attachments,
        "understood_as": understood,
    });
    if let Some(from) = mail.from.as_ref().filter(|from| known.is(from)) {
        data["from"] = json!(from);
    }
    about(Kind::Mail, data)
}

fn of_draft(draft: &Draft) -> ExportRecord {
    let data = json!({
        "state": draft.state, "made_at": draft.created_at.to_rfc3339(), "made_by": draft.author,
        "send_at": draft.send_at.map(Timestamp::to_rfc3339), "subject": draft.subject, "text": draft.text,
        "orders": draft.orders,
    });
    about(Kind::Draft, data)
}
