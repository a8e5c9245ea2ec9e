//! The cloud on one machine: one endpoint that speaks the wire of DynamoDB, SQS, EventBridge Scheduler and KMS.
//! Functions reach it through unmodified AWS SDK clients. Nothing in here knows what Storeward is about.

pub mod kms;
pub mod scheduler;
pub mod sqs;

/// The region everything local lives in.
pub const REGION: &str = "us-east-1";

/// The account everything local belongs to.
pub const ACCOUNT: &str = "000000000000";
