//! The front of what queues start: a batch is taken apart, each message is handled on its own, and only those that
//! failed are reported, so that the others are not done again.

use std::fmt;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_store::{Acting, By, acting};

use crate::context::{Context, HostError};
use crate::function::{Invocation, InvokeError};

/// What is asked of `purge-shop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrder {
    /// The installation to purge.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// What asked for it: for the receipt.
    pub why: String,
}

/// What is asked of `reconcile-shop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileOrder {
    /// Whose orders are to be compared with what Shopify has.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// From where, when an earlier run did not come to the end; else from where the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

/// What is asked of `apply-retention`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionOrder {
    /// The installation to go through.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// From which partition, when an earlier run did not come to the end.
    #[serde(default)]
    pub from: usize,
    /// Where the due row stands that ends with it; none where one is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

impl RetentionOrder {
    /// To go through an installation at once. The due row that was written with the change lets it be gone through once
    /// more, when nobody can be writing under the terms before.
    #[must_use]
    pub const fn at_once(tenant: Tenant) -> Self {
        Self { tenant, from: 0, due_at: None }
    }
}

/// What is asked of `handle-incident`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentOrder {
    /// The breach that is to be moved on: its id.
    pub incident: String,
}

/// Why a message was not worked on to its end, and what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// It can succeed later: the queue gives it again.
    Retry(String),
    /// It is of no more use: it goes.
    Drop(&'static str),
    /// It will never succeed: it ends in the dead-letter queue, from where it can be replayed.
    DeadLetter(String),
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) => write!(f, "to be tried again: {why}"),
            Self::Drop(why) => write!(f, "dropped: {why}"),
            Self::DeadLetter(why) => write!(f, "cannot succeed: {why}"),
        }
    }
}

impl std::error::Error for JobError {}

impl<E: Into<HostError>> From<E> for JobError {
    fn from(error: E) -> Self {
        let error: HostError = error.into();
        if error.is_transient() {
            Self::Retry(error.to_string())
        } else {
            Self::DeadLetter(error.to_string())
        }
    }
}

/// Runs a queue's function on a batch. The answer lists the messages that the queue is to keep.
///
/// # Errors
/// When the event is not a batch of an SQS queue.
pub async fn job<'a, M, F, Fut>(
    ctx: &'a Context,
    invocation: Invocation,
    name: &'static str,
    handle: F,
) -> Result<Value, InvokeError>
where
    M: DeserializeOwned,
    F: Fn(&'a Context, M, Timestamp) -> Fut,
    Fut: Future<Output = Result<(), JobError>>,
{
    let expected = "a batch of an SQS queue";
    let batch: SqsEvent =
        serde_json::from_value(invocation.event).map_err(|_| InvokeError::NotMyEvent(expected))?;
    let mut answer = SqsBatchResponse::default();
    for message in batch.records {
        let id = message.message_id.unwrap_or_default();
        let parsed = serde_json::from_str(message.body.as_deref().unwrap_or_default());
        let done = match parsed {
            Ok(parsed) => {
                let who = Acting::new(By::system(name), Some(&id));
                acting(who, handle(ctx, parsed, invocation.deadline)).await
            }
            // The text stays out of the log: a stranger may have written it.
            Err(_) => Err(JobError::DeadLetter("the message is not one of this queue's".to_owned())),
        };
        match done {
            Ok(()) => tracing::info!(function = name, message = id, "done"),
            Err(JobError::Drop(why)) => tracing::info!(function = name, message = id, why, "dropped"),
            Err(error) => {
                tracing::warn!(function = name, message = id, %error, "kept in the queue");
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                answer.batch_item_failures.push(failure);
            }
        }
    }
    serde_json::to_value(answer).map_err(|_| InvokeError::NotMyEvent(expected))
}
