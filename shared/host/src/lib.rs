//! What turns a handler into a Lambda: settings, connections, verification of who calls, idempotency, queues
//! and schedules, errors to answers, logs. What a function does with a verified event is its own.

mod access;
mod api;
mod asked;
mod browser;
mod connections;
mod context;
mod function;
mod job;
mod limits;
mod link;
mod mail;
mod notice;
mod operator;
mod orders;
mod problem;
mod schedule;
mod secrets;
mod session;
mod settings;
mod telemetry;
mod vault;
mod webhook;

pub use access::{AdminAccess, Connected};
pub use api::{Answering, ApiError, ApiReply, ApiRequest, Route, api, authorize, document};
pub use asked::{Asked, MAX_API_BODY};
pub use browser::{BrowserError, BrowserRequest, Reply, browser};
pub use connections::Connections;
pub use context::{Context, HostError, Queue};
pub use function::{Function, Invocation, InvokeError, Running};
pub use job::{IncidentOrder, JobError, PurgeOrder, ReconcileOrder, RetentionOrder, job};
pub use limits::lift_limit;
pub use link::{Download, download};
pub use mail::{Letter, Mailed};
pub use notice::{Happened, Notice};
pub use operator::{OperatorRequest, OperatorRoute, authorize_operator, operator_api};
pub use orders::{order_news, take_news};
pub use problem::{Problem, ProblemKind};
pub use schedule::schedule;
pub use session::SessionTokenError;
pub use settings::{Setting, Settings, SettingsError};
pub use storeward_clients::shopify::Standing;
pub use telemetry::start_telemetry;
pub use vault::Put;
pub use webhook::{Answer, Body, MAX_BODY, RefusedBecause, Webhook, WebhookError, webhook};
