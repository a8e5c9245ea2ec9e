//! The data map made real: what is stored, sealed, found, expired and erased, on DynamoDB.
//! Nothing else in the workspace talks to DynamoDB. Every access takes the tenant first, so that one shop's
//! code path cannot reach another's items.

mod accept;
mod access;
mod access_lines;
mod acting;
mod arrival;
mod case_list;
mod cases;
mod correspondents;
mod crypto;
mod cutting;
mod decisions;
mod desk;
mod drafts;
mod due;
mod erasing;
mod erasure;
mod error;
mod exceptions;
mod exports;
mod handover;
mod incidents;
mod item;
mod keyspace;
mod ledger;
mod ledger_list;
mod limits;
mod links;
mod mail_exports;
mod mailboxes;
mod members;
mod notices;
mod operators;
mod orders;
mod processors;
mod purge;
mod reconcile;
mod rectify;
mod request_list;
mod requests;
mod restoring;
mod retention;
mod reviews;
mod sample;
mod statistics;
mod store;
mod tenants;
mod thread_list;
mod threads;
mod updates;

pub use accept::{Acceptance, Delivery, Outcome, Recheck, Task, Work};
pub use acting::{Acting, By, acting};
pub use arrival::{Arrival, ArrivedMail};
pub use case_list::{CaseFilter, CasePage};
pub use cases::{Case, CaseState, Decided, Member, Standing};
pub use crypto::{DeploymentKey, Entropy, SystemEntropy};
pub use decisions::{Deciding, Deleting};
pub use desk::{Desk, DeskMonth};
pub use drafts::{Announced, Author, Draft, DraftState, Drafting, NewDraft, PutDraft};
pub use due::{Action, DueRow};
pub use erasure::{RequestState, RightsRequest, SecondPass};
pub use error::{Result, StoreError};
pub use exceptions::Exception;
pub use exports::{Export, ExportRecord, ExportState};
pub use handover::Handover;
pub use incidents::{Incident, NewIncident, Phase, Reached, Standing as ReachedStanding};
pub use keyspace::{NotARecordRef, RecordRef};
pub use ledger::{AccessEntry, AccessNote, Entry, What};
pub use ledger_list::{LogRange, Page};
pub use limits::{Lifted, Limiting, StandingLimit};
pub use links::{Followed, Linking};
pub use mailboxes::{
    Attempt, Connecting, FullSync, Lease, MailTokens, Mailbox, MailboxRoute, MailboxState, Progress,
};
pub use members::ChangingMembers;
pub use notices::{CaseNotice, Digest, Mailing, why};
pub use operators::OperatorPassword;
pub use orders::{Candidate, FlagState, OrderRecord};
pub use purge::PurgeReport;
pub use rectify::Rectified;
pub use request_list::{RequestFilter, RequestPage};
pub use requests::{Asked, Asking, Proof, ProofMail};
pub use restoring::{Replayed, Replaying};
pub use retention::{Applied, Choosing};
pub use sample::Sample;
pub use statistics::MonthlyStatistics;
pub use store::{Store, TableNames, Unrecorded};
pub use storeward_core::oauth::{Access, AccessToken};
pub use tenants::{Installation, Profile};
pub use thread_list::{ThreadFilter, ThreadPage};
pub use threads::{
    AnotherDraft, Engine, MailPhase, StoredMail, Thread, ThreadChange, ThreadDraft, ThreadMail, ThreadState,
    Understanding,
};
pub use updates::{News, Plan, Told, Writing, Written};
