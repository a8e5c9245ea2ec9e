//! The bodies about mailboxes: which are connected, how they stand, and where a merchant consents to one.

use schemars::JsonSchema;
use serde::Serialize;
use storeward_core::time::Timestamp;
use storeward_store::{Mailbox, MailboxState};

/// The shop's mailboxes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mailboxes")]
pub struct MailboxesBody {
    /// The mailboxes, the first connected first.
    pub mailboxes: Vec<MailboxBody>,
}

/// A mailbox that was connected.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mailbox")]
pub struct MailboxBody {
    /// Its name: 32 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// Its address, as Google writes it.
    pub address: String,
    /// How it stands.
    pub state: MailboxStanding,
    /// Whether the mail of the last days is being read, for the first time or after a gap.
    pub catching_up: bool,
    /// When it was connected, the last time (RFC 3339).
    pub connected_at: String,
    /// When it was last read to the end (RFC 3339); absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// Until when Google tells of new mail at once (RFC 3339). Without that, mail is looked for every hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<String>,
    /// Until when it is left alone, because Google asks for that (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_until: Option<String>,
}

/// How a mailbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailboxStanding {
    /// It is read and answered from.
    Connected,
    /// Google does not let us in any more: connect it again.
    Disconnected,
    /// It is being disconnected, and what came in by it deleted.
    Ending,
}

impl MailboxBody {
    /// How a mailbox stands at `now`.
    #[must_use]
    pub fn of(mailbox: &Mailbox, now: Timestamp) -> Self {
        let told = |at: Timestamp| at.to_rfc3339();
        Self {
            id: mailbox.reference.id().to_owned(),
            address: mailbox.address.expose().clone(),
            state: match mailbox.state {
                MailboxState::Connected => MailboxStanding::Connected,
                MailboxState::Disconnected => MailboxStanding::Disconnected,
                MailboxState::Ending => MailboxStanding::Ending,
            },
            catching_up: mailbox.full_sync.is_some(),
            connected_at: told(mailbox.connected_at),
            read_at: mailbox.read_at.map(told),
            watched_until: mailbox.watched_until.filter(|until| now < *until).map(told),
            quiet_until: mailbox.quiet_until.filter(|until| now < *until).map(told),
        }
    }
}

/// Where to go on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connecting")]
pub struct ConnectingBody {
    /// Open this in a window of its own, within the hour: it leads to Google's page of consent, and works once.
    pub url: String,
}
