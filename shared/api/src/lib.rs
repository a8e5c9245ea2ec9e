//! The merchants' API as its callers see it: the types of its bodies, and the OpenAPI document made of them. What the
//! routes do is the functions'; how they are fronted is the host's.

mod document;
mod incidents;
mod service;
mod types;

pub use document::{OPERATIONS, Operation, document, subject_export_schema};
pub use incidents::{
    BreachBody, BreachesBody, IncidentBody, IncidentsBody, NewIncidentBody, ReachedBody, WordsBody,
};
pub use service::{EndingBody, EndingRequest, HandoverBody, HandoverRecord};
pub use types::{
    ActivityBody, CaseBody, CasesBody, CorrectionsBody, DecisionBody, DecisionRequest, ExceptionBody,
    ExceptionsBody, ExplanationBody, InstructionsBody, InstructionsRequest, KeptFor, LinkBody, MemberBody,
    MembersBody, MonthBody, NewcomersRequest, OpenRequest, PreviewBody, PreviewExample, PreviewRequest,
    PreviewResult, ProcessorBody, ProcessorUseBody, ProcessorsBody, ReasonBody, RecheckBody, RequestBody,
    RequestsBody, RetentionBody, RetentionRequest, RetentionWindow, RoleBody, RoleRequest, SavedBody,
    SavingsBody, SelfBody, SettingsBody, StaffBody, StepBody, SubjectExport, SubjectRecord,
    SubjectRecordAbout, UseState,
};
