//! The deployed code behind the local runtime: each function of the template with its own settings, reaching
//! the local cloud through unmodified SDK clients over TCP. Counts what an invocation asks of AWS; knows
//! nothing of queues and schedules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Method;
use serde_json::Value;
use storeward_core::time::{Clock, Timestamp};
use storeward_host::{Connections, Context, Function, Invocation, Settings, SettingsError};
use storeward_store::SystemEntropy;

use super::{Functions, Invoked, Invoking, Looking, insight};
use crate::claude;
use crate::cloud::scheduler::Scheduler;
use crate::google;
use crate::resend;
use crate::template::Template;

/// The variable that says where the Admin API is. The template leaves it out: deployed functions call Shopify
/// itself.
const SHOPIFY_ENDPOINT: &str = "STOREWARD_SHOPIFY_ENDPOINT";

/// The same for Resend.
const RESEND_ENDPOINT: &str = "STOREWARD_RESEND_ENDPOINT";
/// The same for Google: each with the path below the simulated one.
const GOOGLE_ENDPOINTS: [(&str, &str); 4] = [
    ("STOREWARD_GOOGLE_AUTH_URL", "/o/oauth2/v2/auth"),
    ("STOREWARD_GOOGLE_TOKEN_URL", ""),
    ("STOREWARD_GMAIL_ENDPOINT", ""),
    ("STOREWARD_GOOGLE_KEYS_URL", "/oauth2/v3/certs"),
];

/// The same for Claude.
const ANTHROPIC_ENDPOINT: &str = "STOREWARD_ANTHROPIC_ENDPOINT";

/// Why the template's functions cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionsError {
    /// The template names a handler the artifact does not have.
    NoCode(String),
    /// The template leaves out a setting that a function needs.
    Settings {
        /// The handler.
        handler: String,
        /// What is missing.
        error: SettingsError,
    },
}

impl fmt::Display for FunctionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCode(handler) => {
                write!(f, "template.yaml has the handler {handler}, the artifact does not")
            }
            Self::Settings { handler, error } => write!(f, "{handler}: {error}"),
        }
    }
}

impl std::error::Error for FunctionsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCode(_) => None,
            Self::Settings { error, .. } => Some(error),
        }
    }
}

/// Each function with what it works with, as one Lambda instance that never goes cold.
#[derive(Debug)]
pub struct DeployedFunctions(BTreeMap<String, (&'static Function, Arc<Context>)>);

impl DeployedFunctions {
    /// The functions of a template, on the cloud, the Shopify, the Resend, the Google and the Claude at `port` on loopback.
    /// `clock` is theirs too.
    pub fn new(template: &Template, port: u16, clock: &Arc<dyn Clock>) -> Result<Self, FunctionsError> {
        let client =
            SharedHttpClient::new(CountingClient(aws_smithy_http_client::Builder::new().build_http()));
        let connections = Connections::local(
            &format!("http://127.0.0.1:{port}"),
            client,
            clock.clone(),
            Arc::new(SystemEntropy::new()),
        );
        let mut functions = BTreeMap::new();
        for wired in &template.functions {
            let handler = &wired.handler;
            let code = bootstrap::function(handler).ok_or_else(|| FunctionsError::NoCode(handler.clone()))?;
            let lookup = |name: &str| match wired.environment.get(name) {
                None if name == SHOPIFY_ENDPOINT => Some(format!("http://127.0.0.1:{port}/{{shop}}")),
                None if name == RESEND_ENDPOINT => Some(format!("http://127.0.0.1:{port}{}", resend::PATH)),
                None if name == ANTHROPIC_ENDPOINT => {
                    Some(format!("http://127.0.0.1:{port}{}", claude::PATH))
                }
                None => google_endpoint(name, port),
                value => value.cloned(),
            };
            let settings = Settings::from_lookup(&code.settings(), &lookup)
                .map_err(|error| FunctionsError::Settings { handler: handler.clone(), error })?;
            functions.insert(handler.clone(), (code, Arc::new(Context::new(settings, connections.clone()))));
        }
        Ok(Self(functions))
    }

    /// What the function of a handler works with.
    #[must_use]
    pub fn context(&self, handler: &str) -> Option<Arc<Context>> {
        self.0.get(handler).map(|(_, context)| context.clone())
    }
}

/// Where the simulated Google is for what a setting names of it.
fn google_endpoint(setting: &str, port: u16) -> Option<String> {
    let (_, path) = GOOGLE_ENDPOINTS.iter().find(|(name, _)| *name == setting)?;
    Some(format!("http://127.0.0.1:{port}{}{path}", google::PATH))
}

impl Functions for DeployedFunctions {
    fn invoke(&self, handler: &str, event: Value, deadline: Timestamp) -> Invoking {
        let found = self.0.get(handler).map(|(code, context)| (*code, context.clone()));
        let missing = FunctionsError::NoCode(handler.to_owned());
        Box::pin(async move {
            let Some((code, context)) = found else {
                return Invoked { answer: Err(missing.to_string()), requests: BTreeMap::new() };
            };
            let counts = Counts::default();
            let work = async { code.invoke(&context, Invocation { event, deadline }).await };
            let answer = REQUESTS.scope(counts.clone(), work).await.map_err(|error| error.to_string());
            let requests = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Invoked { answer, requests }
        })
    }

    fn shops(&self, domains: Vec<String>) -> Looking {
        // Any function that reads the store will do.
        let context = self.context("schedules/sweep-due");
        Box::pin(async move {
            let Some(context) = context else { return Value::Null };
            let looked = match context.store().await {
                Ok(store) => {
                    insight::of_shops(store, context.now(), &domains).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            looked.unwrap_or_else(|error| {
                tracing::warn!(error, "the control page cannot read the store");
                Value::Null
            })
        })
    }
}

type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

tokio::task_local! {
    /// What the invocation that runs in this task has asked of AWS. The SDK calls its HTTP client in the task
    /// of its caller.
    static REQUESTS: Counts;
}

/// An HTTP client that counts.
#[derive(Debug)]
struct CountingClient(SharedHttpClient);

impl HttpClient for CountingClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(CountingConnector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct CountingConnector(SharedHttpConnector);

impl HttpConnector for CountingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation_of(&request);
        // Outside an invocation there is nobody to count for.
        let _ = REQUESTS.try_with(|counts| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(operation).or_default() += 1;
        });
        self.0.call(request)
    }
}

/// `DynamoDB.PutItem`, `SQS.SendMessage`, `KMS.Decrypt`, `Scheduler.CreateSchedule`.
fn operation_of(request: &HttpRequest) -> String {
    if let Some((service, operation)) =
        request.headers().get("x-amz-target").and_then(|target| target.split_once('.'))
    {
        let service = match service {
            "AmazonSQS" => "SQS",
            "TrentService" => "KMS",
            other => other.split('_').next().unwrap_or(other),
        };
        return format!("{service}.{operation}");
    }
    let path = request.uri().split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = path.unwrap_or_default().split('?').next().unwrap_or_default();
    let method = request.method().parse::<Method>().unwrap_or_default();
    format!("Scheduler.{}", Scheduler::operation(&method, path).unwrap_or("unknown"))
}
