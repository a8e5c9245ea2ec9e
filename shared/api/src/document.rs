//! The OpenAPI 3.1 document: the list of operations, and the schemas of their bodies as the types say them. A test
//! holds it against the template, the functions and the committed docs/openapi.json, which is what is served.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_host::ProblemKind;

use crate::desk::{DeskSavingsBody, DeskSettingsBody, DryRunBody, DryRunRequest, MacrosBody, RulesBody};
use crate::incidents::BreachesBody;
use crate::ledger::{AccessLogBody, LedgerBody};
use crate::mail::{
    DraftBody, DraftEdit, DraftingBody, ThreadBody, ThreadEdit, ThreadsBody, WholeThreadBody, intent,
    thread_state,
};
use crate::mailboxes::{ConnectingBody, MailboxBody, MailboxesBody};
use crate::service::{EndingBody, EndingRequest, HandoverBody};
use crate::types::{
    CaseBody, CasesBody, DecisionRequest, ExceptionsBody, InstructionsBody, InstructionsRequest, LinkBody,
    MembersBody, NewcomersRequest, OpenRequest, PreviewBody, PreviewRequest, ProcessorBody, ProcessorsBody,
    RecheckBody, RequestBody, RequestsBody, RetentionBody, RetentionRequest, RoleRequest, SavingsBody,
    SelfBody, SettingsBody, SubjectExport, words,
};

type Make = fn(&mut SchemaGenerator) -> Schema;

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One operation of the API.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Method and path as API Gateway names it: `GET /v1/cases/{id}`.
    pub key: &'static str,
    /// The function behind it.
    pub function: &'static str,
    /// Whether anyone may call it.
    pub public: bool,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    body: Option<Make>,
    answer: (u16, &'static str, Option<Make>),
    problems: &'static [ProblemKind],
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operation({})", self.key)
    }
}

#[derive(Clone, Copy)]
struct Parameter {
    name: &'static str,
    place: &'static str,
    about: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Id,
    Time,
    State,
    Cursor,
    Key,
    Token,
    RightsState,
    Revision,
    NeededRevision,
    Number { default: usize, most: usize },
    Processor,
    ThreadState,
    Intent,
}

const ID: Parameter =
    Parameter { name: "id", place: "path", about: "The record's name, as a list gave it.", kind: Kind::Id };

const CASE_FILTER: [Parameter; 5] = [
    Parameter { name: "state", place: "query", about: "Only cases in this state.", kind: Kind::State },
    Parameter {
        name: "since",
        place: "query",
        about: "Only cases opened at or after this.",
        kind: Kind::Time,
    },
    Parameter {
        name: "until",
        place: "query",
        about: "Only cases opened at or before this.",
        kind: Kind::Time,
    },
    Parameter {
        name: "limit",
        place: "query",
        about: "At most this many cases on a page.",
        kind: Kind::Number { default: 20, most: 100 },
    },
    Parameter {
        name: "cursor",
        place: "query",
        about: "The `next` of the page before, with the same filter.",
        kind: Kind::Cursor,
    },
];

/// The parameters of a page of either log.
const LOG_RANGE: &[Parameter] = &[
    Parameter {
        name: "since",
        place: "query",
        about: "Only what was at or after this. Nothing is from before this installation of the app.",
        kind: Kind::Time,
    },
    Parameter { name: "until", place: "query", about: "Only what was at or before this.", kind: Kind::Time },
    Parameter {
        name: "limit",
        place: "query",
        about: "At most this many entries on a page.",
        kind: Kind::Number { default: 20, most: 100 },
    },
    Parameter {
        name: "cursor",
        place: "query",
        about: "The `next` of the page before, with the same `since` and `until`.",
        kind: Kind::Cursor,
    },
];

/// The parameters of a page of everything.
const HANDOVER: &[Parameter] = &[
    Parameter {
        name: "limit",
        place: "query",
        about: "At most this many records on a page.",
        kind: Kind::Number { default: 100, most: 500 },
    },
    Parameter { name: "cursor", place: "query", about: "The `next` of the page before.", kind: Kind::Cursor },
];

const IF_MATCH: Parameter = Parameter {
    name: "If-Match",
    place: "header",
    about: "Decide only on the case at this revision: its `ETag`.",
    kind: Kind::Revision,
};

/// What a reply is decided on by: it is sent as it was read.
const IF_MATCH_DRAFT: Parameter = Parameter {
    about: "Needed: the `ETag` of the reply as it was read.",
    kind: Kind::NeededRevision,
    ..IF_MATCH
};

const IF_MATCH_DESK: Parameter = Parameter {
    about: "Change only what is at this revision: the `ETag` of settings, rules and macros, which share one.",
    ..IF_MATCH
};

const PROCESSOR: Parameter =
    Parameter { name: "name", place: "path", about: "The sub-processor's `id`.", kind: Kind::Processor };
const TOKEN: Parameter = Parameter {
    name: "token",
    place: "path",
    about: "The link's token, for a further piece its number, and `.json` or `.html`: as the link was given.",
    kind: Kind::Token,
};

const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: "header",
    about: "A name of your own for the request: sent again under the same name, it is the same request.",
    kind: Kind::Key,
};

const REQUEST_FILTER: [Parameter; 3] = [
    Parameter {
        name: "state",
        place: "query",
        about: "Only requests in this state.",
        kind: Kind::RightsState,
    },
    Parameter {
        name: "limit",
        place: "query",
        about: "At most this many requests on a page.",
        kind: Kind::Number { default: 20, most: 100 },
    },
    Parameter {
        name: "cursor",
        place: "query",
        about: "The `next` of the page before, with the same filter.",
        kind: Kind::Cursor,
    },
];

const THREAD_FILTER: [Parameter; 7] = [
    Parameter {
        name: "state",
        place: "query",
        about: "Only conversations in this state.",
        kind: Kind::ThreadState,
    },
    Parameter {
        name: "intent",
        place: "query",
        about: "Only conversations whose latest understood mail is about this.",
        kind: Kind::Intent,
    },
    Parameter {
        name: "mailbox",
        place: "query",
        about: "Only conversations of this mailbox: its `id`.",
        kind: Kind::Id,
    },
    Parameter {
        name: "since",
        place: "query",
        about: "Only conversations whose latest mail came at or after this.",
        kind: Kind::Time,
    },
    Parameter {
        name: "until",
        place: "query",
        about: "Only conversations whose latest mail came at or before this.",
        kind: Kind::Time,
    },
    Parameter {
        name: "limit",
        place: "query",
        about: "At most this many conversations on a page.",
        kind: Kind::Number { default: 20, most: 100 },
    },
    Parameter {
        name: "cursor",
        place: "query",
        about: "The `next` of the page before, with the same filter.",
        kind: Kind::Cursor,
    },
];

const MONTHS: Parameter = Parameter {
    name: "months",
    place: "query",
    about: "How many months back, this one included.",
    kind: Kind::Number { default: 12, most: 24 },
};

/// Every operation.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        key: "GET /v1/settings",
        function: "api/settings",
        public: false,
        id: "getSettings",
        summary: "The settings of the duplicate guard",
        parameters: &[],
        body: None,
        answer: (200, "The settings as they count now.", Some(schema::<SettingsBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/settings",
        function: "api/settings",
        public: false,
        id: "putSettings",
        summary: "Replace the settings; they count from the next order on",
        parameters: &[],
        body: Some(schema::<SettingsBody>),
        answer: (200, "The settings as they count now.", Some(schema::<SettingsBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::SettingOutOfBounds,
            ProblemKind::WindowBeyondRetention,
        ],
    },
    Operation {
        key: "POST /v1/settings/preview",
        function: "api/settings",
        public: false,
        id: "previewSettings",
        summary: "Try settings on orders that are stored already; nothing is changed",
        parameters: &[],
        body: Some(schema::<PreviewRequest>),
        answer: (
            200,
            "What they would have done, beside what the current ones do.",
            Some(schema::<PreviewBody>),
        ),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::SettingOutOfBounds,
            ProblemKind::WindowBeyondRetention,
        ],
    },
    Operation {
        key: "GET /v1/retention",
        function: "api/settings",
        public: false,
        id: "getRetention",
        summary: "How long things are kept",
        parameters: &[],
        body: None,
        answer: (200, "The windows as they count now.", Some(schema::<RetentionBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/retention",
        function: "api/settings",
        public: false,
        id: "putRetention",
        summary: "Keep things for a shorter time; it counts at once for what is stored already",
        parameters: &[],
        body: Some(schema::<RetentionRequest>),
        answer: (200, "The windows as they count now.", Some(schema::<RetentionBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::RetentionOutOfBounds,
            ProblemKind::WindowBeyondRetention,
        ],
    },
    Operation {
        key: "GET /v1/instructions",
        function: "api/settings",
        public: false,
        id: "getInstructions",
        summary: "Everything that is done with the shop's data, and whether it is switched on",
        parameters: &[],
        body: None,
        answer: (200, "The activities as they are switched now.", Some(schema::<InstructionsBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/instructions",
        function: "api/settings",
        public: false,
        id: "putInstructions",
        summary: "Switch activities on or off; what is off is not done, also where it was under way",
        parameters: &[],
        body: Some(schema::<InstructionsRequest>),
        answer: (200, "The activities as they are switched now.", Some(schema::<InstructionsBody>)),
        problems: &[ProblemKind::InvalidBody, ProblemKind::RequestTooLarge],
    },
    Operation {
        key: "GET /v1/cases",
        function: "api/cases",
        public: false,
        id: "listCases",
        summary: "Cases, the latest first",
        parameters: &CASE_FILTER,
        body: None,
        answer: (200, "A page of cases.", Some(schema::<CasesBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/cases/{id}",
        function: "api/cases",
        public: false,
        id: "getCase",
        summary: "One case; where it was merged into another, that one",
        parameters: &[ID],
        body: None,
        answer: (200, "The case.", Some(schema::<CaseBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "POST /v1/cases/{id}/decision",
        function: "api/cases",
        public: false,
        id: "decideCase",
        summary: "Decide on a case, or decide otherwise; the same decision once more changes nothing",
        parameters: &[ID, IF_MATCH],
        body: Some(schema::<DecisionRequest>),
        answer: (200, "The case, decided.", Some(schema::<CaseBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::InvalidParameter,
            ProblemKind::NotFound,
            ProblemKind::CaseNotDecidable,
            ProblemKind::NothingToExcept,
            ProblemKind::CaseTooLarge,
            ProblemKind::CaseChanged,
            ProblemKind::RequestTooLarge,
        ],
    },
    Operation {
        key: "POST /v1/cases/{id}/recheck",
        function: "api/cases",
        public: false,
        id: "recheckCase",
        summary: "Look at a case's orders again, under the settings that count now",
        parameters: &[ID],
        body: None,
        answer: (202, "They will be looked at.", Some(schema::<RecheckBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "DELETE /v1/cases/{id}",
        function: "api/cases",
        public: false,
        id: "deleteCase",
        summary: "Delete a resolved case; its orders stay, and so do the monthly counts",
        parameters: &[ID],
        body: None,
        answer: (204, "It is gone.", None),
        problems: &[ProblemKind::NotFound, ProblemKind::CaseNotResolved],
    },
    Operation {
        key: "POST /v1/requests",
        function: "api/requests",
        public: false,
        id: "openRequest",
        summary: "Open a rights request for a person: access, a file, rectification, erasure, restriction, objection",
        parameters: &[IDEMPOTENCY_KEY],
        body: Some(schema::<OpenRequest>),
        answer: (202, "It is taken in and will be carried out.", Some(schema::<RequestBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::InvalidParameter,
            ProblemKind::RequestTooLarge,
            ProblemKind::RequestIncomplete,
            ProblemKind::IdempotencyKeyUsed,
        ],
    },
    Operation {
        key: "GET /v1/requests",
        function: "api/requests",
        public: false,
        id: "listRequests",
        summary: "Rights requests, however they were opened, page by page",
        parameters: &REQUEST_FILTER,
        body: None,
        answer: (200, "A page, the latest first.", Some(schema::<RequestsBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/requests/{id}",
        function: "api/requests",
        public: false,
        id: "getRequest",
        summary: "Where a rights request stands",
        parameters: &[ID],
        body: None,
        answer: (200, "The request.", Some(schema::<RequestBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "POST /v1/requests/{id}/link",
        function: "api/requests",
        public: false,
        id: "linkRequest",
        summary: "Make a link to what was put together about a person; it works for a few minutes, and the one before ends",
        parameters: &[ID],
        body: None,
        answer: (200, "The link. Fetching every piece makes the request done.", Some(schema::<LinkBody>)),
        problems: &[ProblemKind::NotFound, ProblemKind::NothingToFetch],
    },
    Operation {
        key: "GET /v1/exports/{token}",
        function: "api/exports",
        public: true,
        id: "fetchExport",
        summary: "What was put together about a person, as JSON or as a page, by the link that was made for it",
        parameters: &[TOKEN],
        body: None,
        answer: (
            200,
            "The document, to be saved: `token.json` or `token.html`; further pieces as `token.2.json` and so on.",
            Some(schema::<SubjectExport>),
        ),
        problems: &[ProblemKind::NotFound, ProblemKind::Unavailable],
    },
    Operation {
        key: "GET /v1/exceptions",
        function: "api/exceptions",
        public: false,
        id: "listExceptions",
        summary: "Households and customers that are not flagged",
        parameters: &[],
        body: None,
        answer: (200, "All of them, the latest first.", Some(schema::<ExceptionsBody>)),
        problems: &[],
    },
    Operation {
        key: "DELETE /v1/exceptions/{id}",
        function: "api/exceptions",
        public: false,
        id: "endException",
        summary: "End an exception; the case it was said on stays as it was decided",
        parameters: &[ID],
        body: None,
        answer: (204, "It is gone.", None),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "GET /v1/processors",
        function: "api/processors",
        public: false,
        id: "listProcessors",
        summary: "Who processes data for the merchant, what for, and what is going to change",
        parameters: &[],
        body: None,
        answer: (200, "All sub-processors.", Some(schema::<ProcessorsBody>)),
        problems: &[],
    },
    Operation {
        key: "POST /v1/processors/acknowledgement",
        function: "api/processors",
        public: false,
        id: "acknowledgeProcessors",
        summary: "Say that the merchant read of all changes that are announced: their notice period begins, if it has not by mail",
        parameters: &[],
        body: None,
        answer: (204, "It is noted.", None),
        problems: &[],
    },
    Operation {
        key: "POST /v1/processors/{name}/objection",
        function: "api/processors",
        public: false,
        id: "objectToProcessor",
        summary: "Object to a sub-processor: from now on nothing is sent to it for this merchant",
        parameters: &[PROCESSOR],
        body: None,
        answer: (
            200,
            "The sub-processor, and what does not happen without it.",
            Some(schema::<ProcessorBody>),
        ),
        problems: &[ProblemKind::NotFound, ProblemKind::ProcessorEssential],
    },
    Operation {
        key: "DELETE /v1/processors/{name}/objection",
        function: "api/processors",
        public: false,
        id: "withdrawObjection",
        summary: "Withdraw an objection",
        parameters: &[PROCESSOR],
        body: None,
        answer: (200, "The sub-processor.", Some(schema::<ProcessorBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "GET /v1/savings",
        function: "api/savings",
        public: false,
        id: "getSavings",
        summary: "What the guard was good for, month by month",
        parameters: &[MONTHS],
        body: None,
        answer: (200, "The months, the latest first.", Some(schema::<SavingsBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/ledger",
        function: "api/service",
        public: false,
        id: "listLedger",
        summary: "What was done to the shop's data: who, what, when and why, with receipts of what was erased",
        parameters: LOG_RANGE,
        body: None,
        answer: (200, "A page, the latest first.", Some(schema::<LedgerBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/access-log",
        function: "api/service",
        public: false,
        id: "listAccesses",
        summary: "Who read personal data through the API in the last 90 days; reading this is one of them",
        parameters: LOG_RANGE,
        body: None,
        answer: (200, "A page, the latest first.", Some(schema::<AccessLogBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/service/export",
        function: "api/service",
        public: false,
        id: "exportShop",
        summary: "Everything that is stored for the shop, page by page",
        parameters: HANDOVER,
        body: None,
        answer: (200, "A page.", Some(schema::<HandoverBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "POST /v1/service/ending",
        function: "api/service",
        public: false,
        id: "endService",
        summary: "Uninstall the app and delete everything that is stored for the shop; this cannot be taken back",
        parameters: &[],
        body: Some(schema::<EndingRequest>),
        answer: (202, "It is uninstalled, and will be deleted.", Some(schema::<EndingBody>)),
        problems: &[ProblemKind::InvalidBody, ProblemKind::RequestTooLarge],
    },
    Operation {
        key: "GET /v1/incidents",
        function: "api/incidents",
        public: false,
        id: "listBreaches",
        summary: "Breaches of personal data that reached the shop, as its merchant was told of them",
        parameters: &[],
        body: None,
        answer: (200, "The breaches, the latest first.", Some(schema::<BreachesBody>)),
        problems: &[],
    },
    Operation {
        key: "GET /v1/openapi.json",
        function: "api/openapi",
        public: true,
        id: "getDocument",
        summary: "This document",
        parameters: &[],
        body: None,
        answer: (200, "OpenAPI 3.1.", Some(any_object)),
        problems: &[],
    },
    Operation {
        key: "GET /v1/me",
        function: "api/members",
        public: false,
        id: "getSelf",
        summary: "Who asks, and what that member may do",
        parameters: &[],
        body: None,
        answer: (200, "The member.", Some(schema::<SelfBody>)),
        problems: &[],
    },
    Operation {
        key: "GET /v1/members",
        function: "api/members",
        public: false,
        id: "listMembers",
        summary: "Members of the shop's staff and their roles",
        parameters: &[],
        body: None,
        answer: (200, "The members.", Some(schema::<MembersBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/members",
        function: "api/members",
        public: false,
        id: "putNewcomers",
        summary: "Decide what whoever opens the app next is",
        parameters: &[],
        body: Some(schema::<NewcomersRequest>),
        answer: (200, "The members.", Some(schema::<MembersBody>)),
        problems: &[ProblemKind::InvalidBody, ProblemKind::RequestTooLarge, ProblemKind::RoleTooMighty],
    },
    Operation {
        key: "PUT /v1/members/{id}",
        function: "api/members",
        public: false,
        id: "putMember",
        summary: "Give a member a role",
        parameters: &[ID],
        body: Some(schema::<RoleRequest>),
        answer: (200, "The members.", Some(schema::<MembersBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::NotFound,
            ProblemKind::LastOwner,
        ],
    },
    Operation {
        key: "DELETE /v1/members/{id}",
        function: "api/members",
        public: false,
        id: "deleteMember",
        summary: "Take a member off the list; who comes again is a newcomer",
        parameters: &[ID],
        body: None,
        answer: (204, "It is done.", None),
        problems: &[ProblemKind::NotFound, ProblemKind::LastOwner],
    },
    Operation {
        key: "GET /v1/mailboxes",
        function: "api/mailboxes",
        public: false,
        id: "listMailboxes",
        summary: "The mailboxes that were connected, and how they stand",
        parameters: &[],
        body: None,
        answer: (200, "The mailboxes.", Some(schema::<MailboxesBody>)),
        problems: &[],
    },
    Operation {
        key: "POST /v1/mailboxes",
        function: "api/mailboxes",
        public: false,
        id: "connectMailbox",
        summary: "Begin to connect a mailbox, or one again that Google does not let us into any more",
        parameters: &[],
        body: None,
        answer: (200, "Where to go on.", Some(schema::<ConnectingBody>)),
        problems: &[],
    },
    Operation {
        key: "DELETE /v1/mailboxes/{id}",
        function: "api/mailboxes",
        public: false,
        id: "disconnectMailbox",
        summary: "Disconnect a mailbox: Google's access is given back, and every conversation of it deleted",
        parameters: &[ID],
        body: None,
        answer: (202, "It is ending.", Some(schema::<MailboxBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "POST /v1/mailboxes/{id}/sync",
        function: "api/mailboxes",
        public: false,
        id: "synchronizeMailbox",
        summary: "Have a mailbox read now, without waiting for Google to tell of new mail",
        parameters: &[ID],
        body: None,
        answer: (202, "It will be read.", Some(schema::<MailboxBody>)),
        problems: &[ProblemKind::NotFound, ProblemKind::MailboxNotConnected],
    },
    Operation {
        key: "GET /v1/threads",
        function: "api/threads",
        public: false,
        id: "listThreads",
        summary: "Conversations, the one with the latest mail first",
        parameters: &THREAD_FILTER,
        body: None,
        answer: (200, "A page of conversations.", Some(schema::<ThreadsBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
    Operation {
        key: "GET /v1/threads/{id}",
        function: "api/threads",
        public: false,
        id: "getThread",
        summary: "One conversation with its mails and replies",
        parameters: &[ID],
        body: None,
        answer: (200, "The conversation.", Some(schema::<WholeThreadBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "PATCH /v1/threads/{id}",
        function: "api/threads",
        public: false,
        id: "changeThread",
        summary: "Sort a conversation: its state, labels, who has it, whether somebody has to look at it",
        parameters: &[ID],
        body: Some(schema::<ThreadEdit>),
        answer: (200, "The conversation as it is now.", Some(schema::<ThreadBody>)),
        problems: &[ProblemKind::InvalidBody, ProblemKind::RequestTooLarge, ProblemKind::NotFound],
    },
    Operation {
        key: "POST /v1/threads/{id}/draft",
        function: "api/threads",
        public: false,
        id: "draftAnew",
        summary: "Have the reply to the customer's latest mail drafted anew; what a person wrote stays",
        parameters: &[ID],
        body: None,
        answer: (202, "It will be drafted.", Some(schema::<DraftingBody>)),
        problems: &[ProblemKind::NotFound, ProblemKind::NothingToAnswer],
    },
    Operation {
        key: "GET /v1/drafts/{id}",
        function: "api/drafts",
        public: false,
        id: "getDraft",
        summary: "One reply",
        parameters: &[ID],
        body: None,
        answer: (200, "The reply, with its revision in `ETag`.", Some(schema::<DraftBody>)),
        problems: &[ProblemKind::NotFound],
    },
    Operation {
        key: "PUT /v1/drafts/{id}",
        function: "api/drafts",
        public: false,
        id: "editDraft",
        summary: "Write what a reply says; no rule sends it from then on",
        parameters: &[ID, IF_MATCH_DRAFT],
        body: Some(schema::<DraftEdit>),
        answer: (200, "The reply as it is now.", Some(schema::<DraftBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::InvalidParameter,
            ProblemKind::NotFound,
            ProblemKind::DraftEnded,
            ProblemKind::DraftChanged,
        ],
    },
    Operation {
        key: "POST /v1/drafts/{id}/approve",
        function: "api/drafts",
        public: false,
        id: "approveDraft",
        summary: "Let a reply be sent as it was read; asked again, it is still sent once",
        parameters: &[ID, IF_MATCH_DRAFT],
        body: None,
        answer: (200, "The reply, to be sent.", Some(schema::<DraftBody>)),
        problems: &[
            ProblemKind::InvalidParameter,
            ProblemKind::NotFound,
            ProblemKind::DraftEnded,
            ProblemKind::DraftChanged,
        ],
    },
    Operation {
        key: "POST /v1/drafts/{id}/cancel",
        function: "api/drafts",
        public: false,
        id: "cancelDraft",
        summary: "Stop a reply that a rule would send; it stays as a draft",
        parameters: &[ID],
        body: None,
        answer: (200, "The reply as it is now.", Some(schema::<DraftBody>)),
        problems: &[ProblemKind::NotFound, ProblemKind::DraftEnded],
    },
    Operation {
        key: "DELETE /v1/drafts/{id}",
        function: "api/drafts",
        public: false,
        id: "discardDraft",
        summary: "Discard a reply",
        parameters: &[ID],
        body: None,
        answer: (204, "It is discarded.", None),
        problems: &[ProblemKind::NotFound, ProblemKind::DraftEnded],
    },
    Operation {
        key: "GET /v1/desk",
        function: "api/desk",
        public: false,
        id: "getDesk",
        summary: "The settings of the mail desk",
        parameters: &[],
        body: None,
        answer: (
            200,
            "The settings as they count now, with their revision in `ETag`.",
            Some(schema::<DeskSettingsBody>),
        ),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/desk",
        function: "api/desk",
        public: false,
        id: "putDesk",
        summary: "Replace the settings of the mail desk; what is switched off is not done, also where it was under way",
        parameters: &[IF_MATCH_DESK],
        body: Some(schema::<DeskSettingsBody>),
        answer: (200, "The settings as they count now.", Some(schema::<DeskSettingsBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::InvalidParameter,
            ProblemKind::DeskRefused,
            ProblemKind::DeskChanged,
        ],
    },
    Operation {
        key: "GET /v1/desk/rules",
        function: "api/desk",
        public: false,
        id: "getRules",
        summary: "The rules of the mail desk",
        parameters: &[],
        body: None,
        answer: (200, "The rules, with their revision in `ETag`.", Some(schema::<RulesBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/desk/rules",
        function: "api/desk",
        public: false,
        id: "putRules",
        summary: "Replace the rules; they count from the next mail on",
        parameters: &[IF_MATCH_DESK],
        body: Some(schema::<RulesBody>),
        answer: (200, "The rules as they count now.", Some(schema::<RulesBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::InvalidParameter,
            ProblemKind::DeskRefused,
            ProblemKind::DeskChanged,
        ],
    },
    Operation {
        key: "POST /v1/desk/rules/dry-run",
        function: "api/desk",
        public: false,
        id: "tryRules",
        summary: "Try rules on the latest 100 mails; nothing is changed, and nothing is sent",
        parameters: &[],
        body: Some(schema::<DryRunRequest>),
        answer: (200, "What they would have done with each.", Some(schema::<DryRunBody>)),
        problems: &[ProblemKind::InvalidBody, ProblemKind::RequestTooLarge, ProblemKind::DeskRefused],
    },
    Operation {
        key: "GET /v1/desk/macros",
        function: "api/desk",
        public: false,
        id: "getMacros",
        summary: "The merchant's own texts for replies",
        parameters: &[],
        body: None,
        answer: (200, "The macros, with their revision in `ETag`.", Some(schema::<MacrosBody>)),
        problems: &[],
    },
    Operation {
        key: "PUT /v1/desk/macros",
        function: "api/desk",
        public: false,
        id: "putMacros",
        summary: "Replace the macros; one that a rule names has to stay",
        parameters: &[IF_MATCH_DESK],
        body: Some(schema::<MacrosBody>),
        answer: (200, "The macros as they count now.", Some(schema::<MacrosBody>)),
        problems: &[
            ProblemKind::InvalidBody,
            ProblemKind::RequestTooLarge,
            ProblemKind::InvalidParameter,
            ProblemKind::DeskRefused,
            ProblemKind::DeskChanged,
        ],
    },
    Operation {
        key: "GET /v1/desk/savings",
        function: "api/desk",
        public: false,
        id: "getDeskSavings",
        summary: "What understanding mail cost, month by month, and what the built-in engine saved",
        parameters: &[MONTHS],
        body: None,
        answer: (200, "The months, the latest first.", Some(schema::<DeskSavingsBody>)),
        problems: &[ProblemKind::InvalidParameter],
    },
];

fn any_object(_: &mut SchemaGenerator) -> Schema {
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), json!("object"));
    schema
}

/// What every operation can answer whose caller has to be known.
const ALWAYS: [ProblemKind; 4] = [
    ProblemKind::InvalidSession,
    ProblemKind::Forbidden,
    ProblemKind::NotInstalled,
    ProblemKind::Unavailable,
];

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut paths = json!({});
    for operation in OPERATIONS {
        let (method, path) = operation.key.split_once(' ').unwrap_or_default();
        paths[path][method.to_ascii_lowercase()] = operation.written(&mut generator);
    }
    let mut schemas = json!(generator.take_definitions(true));
    schemas["Problem"] = json!({
        "description": "An RFC 9457 problem. Each type is explained in docs/errors.md.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "description": "`urn:storeward:problem:` and an id that never changes." },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What to do." },
        },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Storeward",
            "version": "1",
            "summary": "Duplicate orders and the mail desk: settings, cases, decisions; mailboxes, conversations, replies, rules",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A session token of the Shopify admin: App Bridge sends one with every request.",
                },
            },
        },
    })
}

/// The JSON Schema of what a person gets: docs/subject-export.schema.json.
#[must_use]
pub fn subject_export_schema() -> Value {
    json!(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<SubjectExport>())
}

impl Operation {
    fn written(&self, generator: &mut SchemaGenerator) -> Value {
        let (status, about, answer) = self.answer;
        let mut answers = json!({});
        answers[status.to_string()] = json!({ "description": about });
        if let Some(answer) = answer {
            answers[status.to_string()]["content"]["application/json"]["schema"] = json!(answer(generator));
        }
        let always = if self.public { &[][..] } else { &ALWAYS };
        for problem in self.problems.iter().chain(always) {
            let answer = &mut answers[problem.status().to_string()];
            let line = format!("`{}`: {}.", problem.id(), problem.title());
            let described = answer["description"].as_str().map(|before| format!("{before} {line}"));
            answer["description"] = json!(described.unwrap_or(line));
            answer["content"]["application/problem+json"]["schema"] =
                json!({ "$ref": "#/components/schemas/Problem" });
        }
        answers["429"] = json!({ "description": "Too many requests at once: wait a second." });
        let mut written = json!({ "operationId": self.id, "summary": self.summary, "responses": answers, "tags": [self.function.trim_start_matches("api/")] });
        if !self.parameters.is_empty() {
            let parameters: Vec<Value> =
                self.parameters.iter().map(|parameter| parameter.written(generator)).collect();
            written["parameters"] = json!(parameters);
        }
        if let Some(body) = self.body {
            written["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": body(generator) } } });
        }
        if self.public {
            written["security"] = json!([]);
        }
        written
    }
}

impl Parameter {
    fn written(&self, generator: &mut SchemaGenerator) -> Value {
        let schema = match self.kind {
            Kind::Id => json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
            Kind::Processor => json!({ "type": "string", "enum": Processor::ALL.map(Processor::name) }),
            Kind::Time => json!({ "type": "string", "format": "date-time" }),
            Kind::State => json!(words::case_state(generator)),
            Kind::RightsState => json!(words::rights_state(generator)),
            Kind::ThreadState => json!(thread_state(generator)),
            Kind::Intent => json!(intent(generator)),
            Kind::Key => json!({ "type": "string", "pattern": "^[!-~]{1,128}$" }),
            Kind::Token => json!({ "type": "string", "pattern": "^[0-9a-f-]+(\\.[0-9]+)?\\.(json|html)$" }),
            Kind::Cursor => json!({ "type": "string", "maxLength": 200 }),
            Kind::Revision | Kind::NeededRevision => json!({ "type": "string", "pattern": "^\"[0-9]+\"$" }),
            Kind::Number { default, most } => {
                json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default })
            }
        };
        let required = self.place == "path" || matches!(self.kind, Kind::NeededRevision);
        json!({
            "name": self.name, "in": self.place, "description": self.about,
            "required": required, "schema": schema,
        })
    }
}
