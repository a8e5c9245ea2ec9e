//! The data map: one row for every kind of thing that is stored, with its purpose, legal basis, contents,
//! retention and what erasure does to it. TTL, erasure, purge, the leak tests and the published record of
//! processing are derived from it; a kind without a row here cannot be stored, because it does not compile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::matching::LARGEST_WINDOW;

/// Everything that is stored, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An installation of the app in a shop.
    Shop,
    /// Who of a merchant's staff has which role.
    Member,
    /// That an operator's password was set less than 90 days ago.
    OperatorPassword,
    /// The list of installations, for whoever has to go through all of them.
    Directory,
    /// A shop's data and index keys, wrapped.
    Keys,
    /// That a webhook was accepted; also the outbox row of its work.
    Delivery,
    /// An order, as far as duplicates need it.
    Order,
    /// An index row by which duplicates of an order are found.
    Match,
    /// An index row by which a data subject is found.
    Subject,
    /// A cluster of orders that look like one.
    Case,
    /// What was done outside about a case: mails and holds, each recorded before and after.
    Notice,
    /// Which cases the next digest tells of.
    Digest,
    /// An index row by which cases are listed by their time.
    CaseIndex,
    /// What a merchant excepted from being flagged: a household or a customer.
    Exception,
    /// How many cases a month had, and what they saved.
    Statistics,
    /// What a person asked for: access, a file, rectification, erasure, restriction, objection.
    Request,
    /// An index row by which requests are listed by their time.
    RequestIndex,
    /// A customer's account as it is now, until every record says so.
    Rectification,
    /// What is stored about a person, put together because the person asked.
    Export,
    /// Something a sweep has to do at an hour.
    Due,
    /// How far a purge has come.
    Progress,
    /// That a person was erased, so that nothing older comes back.
    Tombstone,
    /// That the use of what is about a person is restricted, or objected to.
    Limit,
    /// What was done to data: audit entries, refusals, erasure receipts.
    Ledger,
    /// Who read personal data through the API, and when.
    Access,
    /// A breach of personal data, and which shops it reached.
    Incident,
    /// A mailbox that a merchant connected.
    Mailbox,
    /// Which installation a mailbox belongs to, for whoever is told of new mail by its address.
    MailboxRoute,
    /// An attempt to connect a mailbox, until the browser comes back.
    Connecting,
    /// A conversation in a mailbox.
    Thread,
    /// A mail of a conversation.
    Mail,
    /// A reply to a conversation: drafted, edited, sent or withdrawn.
    Draft,
    /// An index row by which conversations are listed by their time.
    ThreadIndex,
    /// An index row by which a conversation is found that a mail belongs to.
    MailLink,
    /// How a merchant's mail desk works: settings, rules, macros.
    Desk,
}

/// Which table holds a kind. They differ in their backups: keys are kept 7 days, so that destroying a shop's
/// keys reaches every backup soon; the ledger outlives the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Records, index rows, the directory and due rows.
    Data,
    /// Wrapped keys.
    Keys,
    /// Ledger entries and tombstones.
    Ledger,
}

/// Why something is kept. Blinds are made with a different key for each, so that the evidence of one service
/// cannot be joined with another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Running the service at all: accounts, deliveries, queues.
    Operation,
    /// Finding duplicate orders.
    Duplicates,
    /// Answering and proving what data subjects ask for.
    Rights,
    /// Reading and answering the mail of a shop's customers.
    Mail,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Operation, Self::Duplicates, Self::Rights, Self::Mail];

    /// The word for it: the label its index key is derived with. Never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Duplicates => "duplicates",
            Self::Rights => "rights",
            Self::Mail => "mail",
        }
    }

    /// What it is, for whoever asks what happens to their data.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Operation => "running the service for a shop that installed the app",
            Self::Duplicates => "finding orders that were placed twice, for the shop to decide on",
            Self::Rights => "answering and proving what people ask for about their data",
            Self::Mail => "understanding and answering the mail that customers write to the shop",
        }
    }
}

/// The article that allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegalBasis {
    /// GDPR Art. 6(1)(b): the contract with the merchant.
    Contract,
    /// GDPR Art. 6(1)(f): preventing fraud and double shipments, answering who wrote, for the merchant as controller.
    LegitimateInterest,
    /// GDPR Art. 6(1)(c): answering requests and proving it.
    LegalObligation,
}

impl LegalBasis {
    /// The words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::LegitimateInterest => "legitimate interest",
            Self::LegalObligation => "legal obligation",
        }
    }

    /// Where the law says it.
    #[must_use]
    pub const fn article(self) -> &'static str {
        match self {
            Self::Contract => "GDPR Art. 6(1)(b)",
            Self::LegitimateInterest => "GDPR Art. 6(1)(f)",
            Self::LegalObligation => "GDPR Art. 6(1)(c)",
        }
    }
}

/// What a kind can hold about a person. None of it is a special category of GDPR Art. 9 (promise SO42).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// The merchant's own account: domain, e-mail, plan, access token.
    MerchantAccount,
    /// A customer's e-mail address, phone number and customer number.
    CustomerContact,
    /// A customer's name, billing and shipping address.
    CustomerAddress,
    /// Order number, total, currency, date.
    OrderMetadata,
    /// Keyed hashes that only the holder of the shop's keys can link, and random names of records.
    Pseudonym,
    /// What a customer wrote.
    Correspondence,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 6] = [
        Self::MerchantAccount,
        Self::CustomerContact,
        Self::CustomerAddress,
        Self::OrderMetadata,
        Self::Pseudonym,
        Self::Correspondence,
    ];

    /// The word for it in the API and in logs. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MerchantAccount => "merchant-account",
            Self::CustomerContact => "customer-contact",
            Self::CustomerAddress => "customer-address",
            Self::OrderMetadata => "order-metadata",
            Self::Pseudonym => "pseudonym",
            Self::Correspondence => "correspondence",
        }
    }

    /// The words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::MerchantAccount => "merchant account",
            Self::CustomerContact => "customer contact",
            Self::CustomerAddress => "customer address",
            Self::OrderMetadata => "order metadata",
            Self::Pseudonym => "pseudonym",
            Self::Correspondence => "correspondence",
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn whose(self) -> &'static str {
        match self {
            Self::MerchantAccount => "merchants",
            Self::CustomerContact
            | Self::CustomerAddress
            | Self::OrderMetadata
            | Self::Pseudonym
            | Self::Correspondence => "customers of merchants",
        }
    }
}

/// The sub-processors: who else may get something of a kind. What each may get for what, and since when, is
/// [`crate::egress::Register`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processor {
    /// The cloud host: it keeps everything, sealed where it is personal.
    CloudHost,
    /// Shopify, from where the data comes.
    Shopify,
    /// Resend, which carries mail to the merchant: the merchant's address, and of a case the orders' names, dates and
    /// totals. Of a customer the e-mail address alone, and only to send a code to whoever asked an operator for something.
    Resend,
    /// Google, for a mailbox that the merchant connects.
    Google,
    /// Anthropic, for drafts and translations.
    Anthropic,
    /// Stripe, for the merchant's subscription.
    Stripe,
}

impl Processor {
    /// Every sub-processor.
    pub const ALL: [Self; 6] =
        [Self::CloudHost, Self::Shopify, Self::Resend, Self::Google, Self::Anthropic, Self::Stripe];

    /// The word for it in the API, in logs and in what is stored. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudHost => "cloud-host",
            Self::Shopify => "shopify",
            Self::Resend => "resend",
            Self::Google => "google",
            Self::Anthropic => "anthropic",
            Self::Stripe => "stripe",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|processor| processor.name() == name)
    }
}

impl Processor {
    /// The words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::CloudHost => "cloud host",
            Self::Shopify => "shopify",
            Self::Resend => "resend",
            Self::Google => "google",
            Self::Anthropic => "anthropic",
            Self::Stripe => "stripe",
        }
    }
}

/// How long a kind is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As long as the app is installed, and until the purge after that.
    UntilPurge,
    /// This long from when it began.
    Window(Duration),
    /// As long as the record it points to.
    WithRecord,
    /// Without end: it holds nothing about a person.
    Permanent,
}

impl Retention {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::UntilPurge => "until the purge".to_owned(),
            Self::Window(window) => length(window),
            Self::WithRecord => "as long as its record".to_owned(),
            Self::Permanent => "without end".to_owned(),
        }
    }
}

/// A length of time in words: whole days, or hours.
#[must_use]
pub fn length(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    if hours.is_multiple_of(24) { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

/// What erasing a person does to a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// The item is deleted.
    Delete,
    /// What is personal is removed, with everything that could link the rest to the person.
    Anonymise,
    /// The item stays: it is not about the person.
    Keep,
}

impl Erasure {
    /// The words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Delete => "deletes it",
            Self::Anonymise => "anonymises it",
            Self::Keep => "leaves it",
        }
    }
}

/// A row of the data map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which kind.
    pub kind: Kind,
    /// Where it is kept.
    pub table: Table,
    /// What is in it, in words.
    pub holds: &'static str,
    /// Why.
    pub purpose: Purpose,
    /// On what ground.
    pub legal_basis: LegalBasis,
    /// What of a person.
    pub categories: &'static [Category],
    /// How long.
    pub retention: Retention,
    /// What erasure of a person does.
    pub erasure: Erasure,
    /// Whether it stands in 16 partitions for each installation, which a purge goes through; what does not is
    /// reached through the record that lists it, or is not the tenant's.
    pub bucketed: bool,
    /// Whether a person's export shows it.
    pub exported: bool,
    /// Which sub-processors are sent something of it; what, the register of [`crate::egress`] says.
    pub processors: &'static [Processor],
}

impl Kind {
    /// Every kind, in the order of the map.
    pub const ALL: [Self; 35] = [
        Self::Shop,
        Self::Member,
        Self::OperatorPassword,
        Self::Directory,
        Self::Keys,
        Self::Delivery,
        Self::Order,
        Self::Match,
        Self::Subject,
        Self::Case,
        Self::Notice,
        Self::Digest,
        Self::CaseIndex,
        Self::Exception,
        Self::Statistics,
        Self::Request,
        Self::RequestIndex,
        Self::Rectification,
        Self::Export,
        Self::Due,
        Self::Progress,
        Self::Tombstone,
        Self::Limit,
        Self::Ledger,
        Self::Access,
        Self::Incident,
        Self::Mailbox,
        Self::MailboxRoute,
        Self::Connecting,
        Self::Thread,
        Self::Mail,
        Self::Draft,
        Self::ThreadIndex,
        Self::MailLink,
        Self::Desk,
    ];

    /// The word for it in keys. Never changes: keys of what is stored contain it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Member => "member",
            Self::OperatorPassword => "operator-password",
            Self::Directory => "directory",
            Self::Keys => "keys",
            Self::Delivery => "delivery",
            Self::Order => "order",
            Self::Match => "match",
            Self::Subject => "subject",
            Self::Case => "case",
            Self::Notice => "notice",
            Self::Digest => "digest",
            Self::CaseIndex => "case-index",
            Self::Exception => "exception",
            Self::Statistics => "statistics",
            Self::Request => "request",
            Self::RequestIndex => "request-index",
            Self::Rectification => "rectification",
            Self::Export => "export",
            Self::Due => "due",
            Self::Progress => "progress",
            Self::Tombstone => "tombstone",
            Self::Limit => "limit",
            Self::Ledger => "ledger",
            Self::Access => "access",
            Self::Incident => "incident",
            Self::Mailbox => "mailbox",
            Self::MailboxRoute => "mailbox-route",
            Self::Connecting => "connecting",
            Self::Thread => "thread",
            Self::Mail => "mail",
            Self::Draft => "draft",
            Self::ThreadIndex => "thread-index",
            Self::MailLink => "mail-link",
            Self::Desk => "desk",
        }
    }

    /// The kind's row.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table: one row after the other")]
    pub const fn row(self) -> Row {
        use Category::{
            Correspondence, CustomerAddress, CustomerContact, MerchantAccount, OrderMetadata, Pseudonym,
        };
        match self {
            Self::Shop => Row {
                kind: self,
                table: Table::Data,
                holds: "state of the installation, what it was told of sub-processors and objects to; sealed: domains, e-mail, plan, \
                        scopes and tokens of the merchant",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[MerchantAccount],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Shopify, Processor::Resend],
            },
            // One list for each installation, so that it always has an owner.
            Self::Member => Row {
                kind: self,
                table: Table::Data,
                holds: "sealed: of each member of the merchant's staff who opened the app, Shopify's number, the role, since when",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[MerchantAccount],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise DG62: it ends with the password's time, and without it nobody comes in.
            Self::OperatorPassword => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded name of an operator, and when the password was set",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Directory => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded name of each installation",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Keys => Row {
                kind: self,
                table: Table::Keys,
                holds: "data and index keys of an installation, wrapped by the deployment key",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Shopify retries a webhook for 4 hours; a week leaves room for replays by hand.
            Self::Delivery => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded webhook id, topic, time, whether its work is done; the record's blinded name until then",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(7 * 24)),
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise DG27.
            Self::Order => Row {
                kind: self,
                table: Table::Data,
                holds: "when it was placed; sealed: order number, total, currency, e-mail, phone, names and addresses of the customer",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[CustomerContact, CustomerAddress, OrderMetadata],
                retention: Retention::Window(Duration::from_hours(60 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Shopify],
            },
            Self::Match => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded e-mail, phone, parts of name and address, and the record each leads to; blinded lines of the \
                        cart and checkout; the channel",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[Pseudonym],
                retention: Retention::Window(LARGEST_WINDOW),
                erasure: Erasure::Delete,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Subject => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded e-mail, phone, customer or order number, and the record it leads to",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Delete,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise DG22 keeps resolved duplicates for audit; a year bounds it (DG27: a setting of its own).
            Self::Case => Row {
                kind: self,
                table: Table::Data,
                holds: "state and size of a cluster; sealed: its orders' numbers, dates and totals, and what agreed",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[OrderMetadata],
                retention: Retention::Window(Duration::from_hours(365 * 24)),
                erasure: Erasure::Anonymise,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Shopify, Processor::Resend],
            },
            // It stands under its case's name and goes with it: what is in no case leads to nobody.
            Self::Notice => Row {
                kind: self,
                table: Table::Data,
                holds: "how often a case was told of by mail, and whether orders are held for it",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Delete,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Shopify, Processor::Resend],
            },
            // Gone when it is sent, a day later at most. A case's name is random: without the case it leads nowhere.
            Self::Digest => Row {
                kind: self,
                table: Table::Data,
                holds: "names of the cases that the next digest tells of, and whether it is being sent",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(7 * 24)),
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Resend],
            },
            Self::CaseIndex => Row {
                kind: self,
                table: Table::Data,
                holds: "when a case was opened, and the case it leads to; of an anonymised case the day",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Delete,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // A merchant's word on one household or customer. It is about a person, so it ends; a year bounds it as it
            // bounds the case it was said on.
            Self::Exception => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded address, e-mail, phone or customer number that is not to be flagged; sealed: how a merchant recognises it",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[CustomerContact, CustomerAddress],
                retention: Retention::Window(Duration::from_hours(365 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost],
            },
            Self::Statistics => Row {
                kind: self,
                table: Table::Data,
                holds: "how many cases of a month were opened, confirmed and dismissed, and the sums saved by currency",
                purpose: Purpose::Duplicates,
                legal_basis: LegalBasis::Contract,
                categories: &[],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Request => Row {
                kind: self,
                table: Table::Data,
                holds: "what was asked for, by which way, its state, times and counts; until it is done blinded names that lead to it \
                        and, sealed, the person's e-mail, phone, customer and order numbers",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[CustomerContact, OrderMetadata],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Anonymise,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Resend],
            },
            Self::RequestIndex => Row {
                kind: self,
                table: Table::Data,
                holds: "when a request came, and the request it leads to",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Done within minutes as a rule; a week leaves room for replays by hand. Its content is the account's, which the
            // export shows in every order.
            Self::Rectification => Row {
                kind: self,
                table: Table::Data,
                holds: "state and count of a rectification; sealed until it is done: the customer's number, e-mail and phone",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[CustomerContact],
                retention: Retention::Window(Duration::from_hours(7 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Kept for as long as an answer may take; it shows the other kinds and is not shown itself.
            Self::Export => Row {
                kind: self,
                table: Table::Data,
                holds: "state of a request for access; sealed: who asked, and copies of everything stored about the person",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[CustomerContact, CustomerAddress, OrderMetadata],
                retention: Retention::Window(Duration::from_hours(30 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Due => Row {
                kind: self,
                table: Table::Data,
                holds: "what is to be done at an hour, and blinded names of what it is about",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Progress => Row {
                kind: self,
                table: Table::Data,
                holds: "how far a purge or an erasure has come, and how many items it deleted",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise SO25: the longest a backup lives, and so the longest an erased record could come back from.
            Self::Tombstone => Row {
                kind: self,
                table: Table::Ledger,
                holds: "blinded e-mail, phone, customer or order number, when it was erased, and the blinded name of what led to it",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // It holds until it is lifted. An erasure takes the sealed half: the keyed hash alone keeps an objection from
            // being forgotten with the person. Beside the tombstones, so that a restored backup does not forget it either.
            Self::Limit => Row {
                kind: self,
                table: Table::Ledger,
                holds: "blinded e-mail, phone or customer number whose processing is restricted or objected to, since when and by \
                        which request; of one that was lifted, for 90 days, when that was asked for; sealed until the person is \
                        erased: the same identifiers",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[CustomerContact],
                retention: Retention::UntilPurge,
                erasure: Erasure::Anonymise,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost],
            },
            Self::Ledger => Row {
                kind: self,
                table: Table::Ledger,
                holds: "what was done, when, why, how often and by whom, by blinded shop and blinded member of staff or operator; \
                        nothing about a customer",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::Permanent,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise DG23. A purge leaves it: who read a shop's data shortly before its end is asked after it.
            Self::Access => Row {
                kind: self,
                table: Table::Ledger,
                holds: "when personal data was read or refused through the API: blinded member of staff with the role, blinded \
                        shop, route, status, IP address hashed with a salt of the day",
                purpose: Purpose::Rights,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Whoever has to prove that merchants were told (GDPR Art. 33(5)) keeps it for as long as claims can be made: the
            // usual three years.
            Self::Incident => Row {
                kind: self,
                table: Table::Ledger,
                holds: "times and severity of a breach, which shops it reached, with how many records, and when each was told; sealed: \
                        what operators say of it",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::LegalObligation,
                categories: &[],
                retention: Retention::Window(Duration::from_hours(3 * 365 * 24)),
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Resend],
            },
            // Gone when the merchant disconnects it, and with the installation.
            Self::Mailbox => Row {
                kind: self,
                table: Table::Data,
                holds: "state of a connected mailbox: how far it was read, until when it is watched, how long it is left alone; sealed: \
                        its address and tokens",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[MerchantAccount],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Google, Processor::Resend],
            },
            Self::MailboxRoute => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded address of a mailbox, the installation it belongs to, until when it is watched and when it was last read",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // A consent takes minutes; an hour is one that somebody comes back to.
            Self::Connecting => Row {
                kind: self,
                table: Table::Data,
                holds: "that a member of staff is about to connect a mailbox; sealed: what proves that the same browser comes back",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[Pseudonym],
                retention: Retention::Window(Duration::from_hours(1)),
                erasure: Erasure::Keep,
                bucketed: true,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            // Promise DG27: what is known of a mail, without what it says, twelve months from that mail; the record as long as its
            // latest keeps it.
            Self::Thread => Row {
                kind: self,
                table: Table::Data,
                holds: "state of a conversation, its intent, how many mails; sealed: subject, addresses and names of those who take part, \
                        orders it is about, who of the staff has it",
                purpose: Purpose::Mail,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[CustomerContact, OrderMetadata, Correspondence],
                retention: Retention::Window(Duration::from_hours(365 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Google, Processor::Shopify],
            },
            // Promise DG27: bodies 90 days.
            Self::Mail => Row {
                kind: self,
                table: Table::Data,
                holds: "when a mail came and what it is about; sealed: its text, sender, subject, names of attachments, the sentence that \
                        decided what it is about",
                purpose: Purpose::Mail,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[CustomerContact, CustomerAddress, OrderMetadata, Correspondence],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Google, Processor::Anthropic],
            },
            Self::Draft => Row {
                kind: self,
                table: Table::Data,
                holds: "state of a reply, when it is to be sent and how often that was tried; sealed: its text, to whom it goes, orders it \
                        quotes, what it was made of",
                purpose: Purpose::Mail,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[CustomerContact, CustomerAddress, OrderMetadata, Correspondence],
                retention: Retention::Window(Duration::from_hours(90 * 24)),
                erasure: Erasure::Delete,
                bucketed: true,
                exported: true,
                processors: &[Processor::CloudHost, Processor::Google, Processor::Anthropic],
            },
            Self::ThreadIndex => Row {
                kind: self,
                table: Table::Data,
                holds: "when a conversation had its latest mail, and the conversation it leads to",
                purpose: Purpose::Mail,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Delete,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::MailLink => Row {
                kind: self,
                table: Table::Data,
                holds: "blinded name of a mail, by which answers to it are found, and the conversation it leads to",
                purpose: Purpose::Mail,
                legal_basis: LegalBasis::LegitimateInterest,
                categories: &[Pseudonym],
                retention: Retention::WithRecord,
                erasure: Erasure::Delete,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost],
            },
            Self::Desk => Row {
                kind: self,
                table: Table::Data,
                holds: "how many mails each engine understood, by month; sealed: the merchant's settings, rules and macros for mail",
                purpose: Purpose::Operation,
                legal_basis: LegalBasis::Contract,
                categories: &[MerchantAccount],
                retention: Retention::UntilPurge,
                erasure: Erasure::Keep,
                bucketed: false,
                exported: false,
                processors: &[Processor::CloudHost, Processor::Anthropic],
            },
        }
    }
}

/// The longest any function can still be writing after it read that it may: what a second pass waits for. Lambda
/// ends a function after 15 minutes.
pub const LONGEST_WRITER: Duration = Duration::from_mins(15);

/// When an uninstalled shop is purged: well before the 48 hours of promise DG20, to finish within them.
pub const PURGE_AFTER: Duration = Duration::from_hours(36);

/// How long everything about an uninstalled shop may last at most (promise DG20).
pub const PURGE_DEADLINE: Duration = Duration::from_hours(48);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY;

    #[test]
    fn every_row_stands_under_its_own_kind_and_name() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.row().kind, kind);
            let twin = Kind::ALL.iter().position(|other| other.name() == kind.name());
            assert_eq!(twin, Some(index), "{}", kind.name());
        }
    }

    #[test]
    fn names_of_categories_and_sub_processors_are_those_that_are_stored() {
        for category in Category::ALL {
            assert_eq!(serde_json::to_value(category).unwrap(), category.name());
        }
        for processor in Processor::ALL {
            assert_eq!(serde_json::to_value(processor).unwrap(), processor.name());
            assert_eq!(Processor::named(processor.name()), Some(processor));
        }
        assert_eq!(Processor::named("nobody"), None);
    }

    #[test]
    fn the_register_of_sub_processors_and_the_map_say_the_same() {
        use crate::egress::{Categories, Register};
        let mut listed = std::collections::BTreeMap::<Processor, Categories>::new();
        for row in Kind::ALL.map(Kind::row) {
            let holds = Categories::of(row.categories);
            assert!(row.processors.contains(&Processor::CloudHost), "{:?} is kept by the host", row.kind);
            for processor in row.processors {
                let gets = Register::CURRENT.may_get(*processor);
                let of_it = holds.without(holds.without(gets));
                // The host keeps all of it; the others get some, unless there is nothing about anybody in it.
                let enough = if *processor == Processor::CloudHost {
                    gets.covers(holds)
                } else {
                    holds.is_empty() || !of_it.is_empty()
                };
                assert!(enough, "{:?} may not get anything of {:?}", processor, row.kind);
                let known = listed.entry(*processor).or_default();
                *known = known.and(of_it);
            }
        }
        for processor in Processor::ALL.into_iter().filter(|processor| *processor != Processor::CloudHost) {
            let gets = Register::CURRENT.may_get(processor);
            let known = listed.get(&processor).copied().unwrap_or_default();
            assert_eq!(known, gets, "{processor:?} may get what no kind names it for");
        }
    }

    #[test]
    fn no_category_is_a_special_one() {
        // GDPR Art. 9: origin, opinions, beliefs, membership, genes, biometrics, health, sex life. A category that is new
        // does not compile before somebody has said here which it is.
        let special = |category: Category| match category {
            Category::MerchantAccount
            | Category::CustomerContact
            | Category::CustomerAddress
            | Category::OrderMetadata
            | Category::Pseudonym
            | Category::Correspondence => false,
        };
        assert!(!Category::ALL.into_iter().any(special));
        let names = Category::ALL.map(Category::name);
        let known = [
            "merchant-account",
            "customer-contact",
            "customer-address",
            "order-metadata",
            "pseudonym",
            "correspondence",
        ];
        assert_eq!(names, known);
    }

    #[test]
    fn nothing_personal_is_kept_without_end_or_kept_by_an_erasure() {
        for row in Kind::ALL.map(Kind::row) {
            // Evidence names who did it, and nobody else.
            if row.retention == Retention::Permanent && !row.categories.is_empty() {
                let evidence = (LegalBasis::LegalObligation, &[Category::Pseudonym][..]);
                assert_eq!((row.legal_basis, row.categories), evidence, "{:?}", row.kind);
            }
            let about_customers = row.categories.iter().any(|category| {
                matches!(
                    category,
                    Category::CustomerContact
                        | Category::CustomerAddress
                        | Category::OrderMetadata
                        | Category::Correspondence
                )
            });
            if about_customers {
                assert_ne!(row.erasure, Erasure::Keep, "{:?}", row.kind);
                assert!(row.bucketed, "{:?} must be found by a purge", row.kind);
            }
        }
    }

    #[test]
    fn matching_rows_and_orders_live_as_promised_and_rows_never_outlive_their_record() {
        assert_eq!(Kind::Order.row().retention, Retention::Window(DAY * 60));
        assert_eq!(Kind::Match.row().retention, Retention::Window(DAY * 30));
        assert!(PURGE_AFTER + LONGEST_WRITER < PURGE_DEADLINE);
    }

    #[test]
    fn the_words_are_those_of_the_published_map() {
        assert_eq!(Purpose::ALL.map(Purpose::label), ["operation", "duplicates", "rights", "mail"]);
        for purpose in Purpose::ALL {
            assert_eq!(serde_json::to_value(purpose).unwrap(), purpose.label());
        }
        let about = Purpose::ALL.map(Purpose::about);
        assert!(
            about
                .iter()
                .zip(["service", "twice", "people ask", "customers write"])
                .all(|(about, word)| about.contains(word))
        );
        let bases = [LegalBasis::Contract, LegalBasis::LegitimateInterest, LegalBasis::LegalObligation];
        assert_eq!(
            bases.map(|basis| (basis.words(), basis.article())),
            [
                ("contract", "GDPR Art. 6(1)(b)"),
                ("legitimate interest", "GDPR Art. 6(1)(f)"),
                ("legal obligation", "GDPR Art. 6(1)(c)"),
            ]
        );
        for category in Category::ALL {
            assert_eq!(category.words(), category.name().replace('-', " "));
            let whose =
                if category == Category::MerchantAccount { "merchants" } else { "customers of merchants" };
            assert_eq!(category.whose(), whose);
        }
        for processor in Processor::ALL {
            assert_eq!(processor.words(), processor.name().replace('-', " "));
        }
        let erasures = [Erasure::Delete, Erasure::Anonymise, Erasure::Keep];
        assert_eq!(erasures.map(Erasure::words), ["deletes it", "anonymises it", "leaves it"]);
    }

    #[test]
    fn every_kind_is_kept_for_as_long_as_was_decided() {
        let decided = [
            ("shop", "until the purge"),
            ("member", "until the purge"),
            ("operator-password", "90 days"),
            ("directory", "until the purge"),
            ("keys", "until the purge"),
            ("delivery", "7 days"),
            ("order", "60 days"),
            ("match", "30 days"),
            ("subject", "as long as its record"),
            ("case", "365 days"),
            ("notice", "as long as its record"),
            ("digest", "7 days"),
            ("case-index", "as long as its record"),
            ("exception", "365 days"),
            ("statistics", "until the purge"),
            ("request", "90 days"),
            ("request-index", "as long as its record"),
            ("rectification", "7 days"),
            ("export", "30 days"),
            ("due", "90 days"),
            ("progress", "until the purge"),
            ("tombstone", "90 days"),
            ("limit", "until the purge"),
            ("ledger", "without end"),
            ("access", "90 days"),
            ("incident", "1095 days"),
            ("mailbox", "until the purge"),
            ("mailbox-route", "until the purge"),
            ("connecting", "1 hours"),
            ("thread", "365 days"),
            ("mail", "90 days"),
            ("draft", "90 days"),
            ("thread-index", "as long as its record"),
            ("mail-link", "as long as its record"),
            ("desk", "until the purge"),
        ];
        assert_eq!(
            Kind::ALL.map(|kind| (kind.name(), kind.row().retention.words())),
            decided.map(|(kind, words)| (kind, words.to_owned()))
        );
        assert_eq!((LONGEST_WRITER, PURGE_AFTER, PURGE_DEADLINE), (DAY / 96, DAY * 3 / 2, DAY * 2));
    }

    #[test]
    fn lengths_are_told_in_days_where_they_are_whole() {
        for (hours, words) in
            [(0, "0 days"), (1, "1 hours"), (24, "1 days"), (25, "25 hours"), (48, "2 days")]
        {
            assert_eq!(length(Duration::from_hours(hours)), words);
        }
        let known = [
            (Retention::UntilPurge, "until the purge"),
            (Retention::Window(DAY * 30), "30 days"),
            (Retention::WithRecord, "as long as its record"),
            (Retention::Permanent, "without end"),
        ];
        for (retention, words) in known {
            assert_eq!(retention.words(), words);
        }
    }
}
