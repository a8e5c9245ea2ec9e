//! What turns a handler into a Lambda: settings, connections, verification of who calls, idempotency, queues
//! and schedules, errors to answers, logs. What a function does with a verified event is its own.

mod api;
mod connections;
mod context;
mod function;
mod job;
mod problem;
mod schedule;
mod secrets;
mod session;
mod settings;
mod telemetry;
mod webhook;

pub use api::{Answering, ApiError, ApiRequest, MAX_API_BODY, Reply, Route, api, authorize, document};
pub use connections::Connections;
pub use context::{AdminAccess, Context, HostError, Queue};
pub use function::{Function, Invocation, InvokeError, Running};
pub use job::{JobError, PurgeOrder, job};
pub use problem::{Problem, ProblemKind};
pub use schedule::schedule;
pub use session::SessionTokenError;
pub use settings::{Setting, Settings, SettingsError};
pub use telemetry::start_telemetry;
pub use webhook::{Answer, Body, MAX_BODY, RefusedBecause, Webhook, WebhookError, webhook};
