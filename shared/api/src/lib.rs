//! The merchants' API as its callers see it: the types of its bodies, and the OpenAPI document made of them. What the
//! routes do is the functions'; how they are fronted is the host's.

mod desk;
mod document;
mod incidents;
mod ledger;
mod mail;
mod mailboxes;
mod service;
mod types;

pub use desk::{
    DeskMonthBody, DeskSavingsBody, DeskSettingsBody, DryRunBody, DryRunMail, DryRunRequest, MacrosBody,
    RuleBody, RulesBody,
};
pub use document::{OPERATIONS, Operation, document, subject_export_schema};
pub use incidents::{
    BreachBody, BreachesBody, ClosingBody, IncidentBody, IncidentsBody, NewIncidentBody, ReachedBody,
    ToldOtherwiseBody, WordsBody,
};
pub use ledger::{
    AccessBody, AccessLogBody, ActorBody, ActorKind, CheckBody, LedgerBody, LedgerEntryBody, ReceiptBody,
};
pub use mail::{
    AttachmentBody, DraftBody, DraftEdit, DraftingBody, MailBody, PersonBody, ThreadBody, ThreadEdit,
    ThreadsBody, UnderstandingBody, WholeThreadBody,
};
pub use mailboxes::{ConnectingBody, MailboxBody, MailboxStanding, MailboxesBody};
pub use service::{EndingBody, EndingRequest, HandoverBody, HandoverRecord};
pub use types::{
    ActivityBody, CaseBody, CasesBody, CorrectionsBody, DecisionBody, DecisionRequest, ExceptionBody,
    ExceptionsBody, ExplanationBody, InstructionsBody, InstructionsRequest, KeptFor, LinkBody, MemberBody,
    MembersBody, MonthBody, NewcomersRequest, OpenRequest, PieceBody, PreviewBody, PreviewExample,
    PreviewRequest, PreviewResult, ProcessorBody, ProcessorUseBody, ProcessorsBody, ReasonBody, RecheckBody,
    RequestBody, RequestsBody, RetentionBody, RetentionRequest, RetentionWindow, RoleBody, RoleRequest,
    SavedBody, SavingsBody, SelfBody, SettingsBody, StaffBody, StepBody, SubjectExport, SubjectRecord,
    SubjectRecordAbout, UseState,
};
