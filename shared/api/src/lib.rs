//! The merchants' API as its callers see it: the types of its bodies, and the OpenAPI document made of them. What the
//! routes do is the functions'; how they are fronted is the host's.

mod document;
mod types;

pub use document::{OPERATIONS, Operation, document};
pub use types::{
    CaseBody, CasesBody, DecisionBody, DecisionRequest, ExceptionBody, ExceptionsBody, ExplanationBody,
    MemberBody, MonthBody, PreviewBody, PreviewExample, PreviewRequest, PreviewResult, ProcessorBody,
    ProcessorUseBody, ProcessorsBody, ReasonBody, RecheckBody, SavedBody, SavingsBody, SettingsBody,
    StepBody, UseState,
};
