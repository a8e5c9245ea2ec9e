//! One mail after the other: fetched, read, stored, handed on. What cannot be read is stored without its content, for a person to
//! look at: a mail is never lost, and never keeps the others from being read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use storeward_clients::ClientError;
use storeward_clients::gmail::{self, Fetched, GmailError, MessageName};
use storeward_core::mail::{self, Incoming, MAX_RAW};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;
use storeward_host::{DeskTask, Queue};
use storeward_store::{Arrival, ArrivedMail};

use crate::{Run, Stop, UNITS, UNITS_COME_BACK};

/// After how many failures of a mailbox in a row a mail whose answer cannot be used is stored without its content.
const PATIENCE: u32 = 5;

/// How many headers are looked at of a mail that is not read.
const HEADERS: usize = 200;

/// A mail to be stored.
struct Fetch {
    name: MessageName,
    received_at: Timestamp,
    mail: Incoming,
}

impl Run<'_> {
    /// Stores those that are mail to the shop or of the shop, and are not stored.
    pub(crate) async fn take(&self, gmail: &gmail::Mailbox, told: Vec<MessageName>) -> Result<(), Stop> {
        // A search does not tell labels: those are looked at once the mail is there.
        let wanted = |name: &&MessageName| name.label_ids.is_empty() || is_mail(&name.label_ids);
        let wanted: Vec<&MessageName> = told.iter().filter(wanted).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = wanted.iter().map(|name| name.id.expose().to_owned()).collect();
        let known = self.store.known_mails(self.installation, self.mailbox, &ids).await?;
        let mut stored = 0_usize;
        for name in wanted.into_iter().filter(|name| !known.contains(name.id.expose())) {
            if self.ctx.now() >= self.ends {
                return Err(Stop::Turn(Duration::ZERO));
            }
            if gmail.units() >= UNITS {
                return Err(Stop::Turn(UNITS_COME_BACK));
            }
            stored += usize::from(self.take_one(gmail, name).await?);
        }
        tracing::info!(mailbox = %self.mailbox.reference, stored, "mails stored");
        Ok(())
    }

    async fn take_one(&self, gmail: &gmail::Mailbox, name: &MessageName) -> Result<bool, Stop> {
        let Some(fetched) = self.fetch(gmail, name).await? else { return Ok(false) };
        let Fetch { name, received_at, mail } = fetched;
        if !is_mail(&name.label_ids) {
            return Ok(false);
        }
        let own = name.label_ids.contains("SENT") || mail.is_own(&self.own);
        let arrived = ArrivedMail {
            provider_id: name.id.expose().to_owned(),
            provider_thread: name.thread_id.expose().to_owned(),
            received_at,
            own,
            mail,
        };
        let arrival = self.store.take_mail(self.installation, self.mailbox, arrived).await?;
        let Arrival::Stored { mail, task_due, .. } = arrival else { return Ok(false) };
        if let Some(due_at) = task_due {
            let task = DeskTask::new(self.installation.tenant.clone(), mail, due_at);
            self.ctx.send(Queue::ClassifyEmail, &task, Duration::ZERO).await?;
        }
        Ok(true)
    }

    /// A mail as it is to be stored; `None` for one that is deleted.
    async fn fetch(&self, gmail: &gmail::Mailbox, name: &MessageName) -> Result<Option<Fetch>, Stop> {
        let raw = match gmail.message(&name.id, MAX_RAW).await {
            Ok(Fetched::Found(raw)) => raw,
            Ok(Fetched::Gone) => return Ok(None),
            Ok(Fetched::TooLarge) => return self.head(gmail, name, "it is too large").await,
            Err(GmailError::Client(ClientError::Rejected(_))) => {
                return self.head(gmail, name, "Gmail does not give it").await;
            }
            Err(error @ GmailError::Client(ClientError::Unavailable(_)))
                if self.mailbox.failures >= PATIENCE =>
            {
                tracing::warn!(mailbox = %self.mailbox.reference, %error, "a mail could not be fetched again and again");
                return self.head(gmail, name, "it cannot be fetched").await;
            }
            Err(error) => return Err(error.into()),
        };
        match mail::read(raw.raw.expose()) {
            Ok(mail) => Ok(Some(Fetch { name: raw.name, received_at: raw.received_at, mail })),
            Err(unreadable) => {
                tracing::warn!(mailbox = %self.mailbox.reference, %unreadable, "a mail was not read");
                self.head(gmail, name, "it cannot be read").await
            }
        }
    }

    /// What is known of a mail that is not read: who wrote it about what, and no content.
    async fn head(
        &self,
        gmail: &gmail::Mailbox,
        name: &MessageName,
        why: &'static str,
    ) -> Result<Option<Fetch>, Stop> {
        tracing::warn!(mailbox = %self.mailbox.reference, why, "a mail is stored without its content");
        match gmail.head(&name.id).await {
            Ok(Fetched::Found(head)) => {
                let mail = without_content(&head.headers, head.size);
                Ok(Some(Fetch { name: head.name, received_at: head.received_at, mail }))
            }
            Ok(Fetched::Gone) => Ok(None),
            Ok(Fetched::TooLarge) | Err(GmailError::Client(ClientError::Rejected(_))) => {
                Ok(Some(self.unknown(name)))
            }
            Err(GmailError::Client(ClientError::Unavailable(_))) if self.mailbox.failures > PATIENCE => {
                Ok(Some(self.unknown(name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A mail of which nothing is known but that it came.
    fn unknown(&self, name: &MessageName) -> Fetch {
        let mut name = name.clone();
        if name.label_ids.is_empty() {
            name.label_ids.insert("INBOX".to_owned());
        }
        Fetch { name, received_at: self.ctx.now(), mail: without_content(&[], 0) }
    }
}

/// Whether it is mail that came in or that the shop sent: no draft, and nothing that Gmail or the merchant threw out.
fn is_mail(labels: &BTreeSet<String>) -> bool {
    let has_any = |wanted: &[&str]| wanted.iter().any(|label| labels.contains(*label));
    has_any(&["INBOX", "SENT"]) && !has_any(&["DRAFT", "SPAM", "TRASH", "CHAT"])
}

/// A mail of nothing but headers, as Gmail tells them: decoded, one line each.
fn without_content(headers: &[(String, Personal<String>)], size: u64) -> Incoming {
    let mut text = String::new();
    for (name, value) in headers.iter().take(HEADERS) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            continue;
        }
        let value: String = value.expose().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _infallible = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    let mut mail = mail::read(text.as_bytes()).unwrap_or_else(|_| nothing());
    mail.truncated = true;
    mail.size = usize::try_from(size).unwrap_or(usize::MAX);
    mail
}

fn nothing() -> Incoming {
    let empty = || Personal::new(String::new());
    Incoming {
        message_id: None,
        in_reply_to: Vec::new(),
        references: Vec::new(),
        from: None,
        reply_to: Vec::new(),
        to: Vec::new(),
        cc: Vec::new(),
        subject: empty(),
        date: None,
        text: empty(),
        new_text: empty(),
        signature: None,
        quoted: false,
        attachments: Vec::new(),
        automatic: None,
        truncated: true,
        parts: 0,
        size: 0,
    }
}
