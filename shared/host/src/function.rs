//! A function: its name, the settings it needs, and the code that takes the very event Lambda hands over.
//! The deployed bootstrap, the local run and the tests all go through here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use storeward_core::time::Timestamp;

use crate::context::{Context, HostError};
use crate::settings::Setting;

/// One event, and until when it must be dealt with.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The event as Lambda gives it.
    pub event: Value,
    /// When Lambda ends the function.
    pub deadline: Timestamp,
}

/// Why an invocation failed as a whole: Lambda reports it, and the caller tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvokeError {
    /// The event is not of the kind this function is for.
    NotMyEvent(&'static str),
    /// What the caller asked for is refused, and the caller shows somebody this.
    Refused(&'static str),
    /// The work could not be done.
    Failed(HostError),
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMyEvent(expected) => {
                write!(f, "the event is not {expected}: check the function's trigger")
            }
            Self::Refused(why) => f.write_str(why),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InvokeError {}

impl<E: Into<HostError>> From<E> for InvokeError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What an invocation comes to.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Value, InvokeError>> + Send + 'a>>;

/// A function of the bundle.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its handler's name in `template.yaml`: `webhooks/orders-create`.
    pub name: &'static str,
    /// The settings it needs, and no others.
    pub needs: &'static [&'static [Setting]],
    /// The code.
    pub run: for<'a> fn(&'a Context, Invocation) -> Running<'a>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.name)
    }
}

impl Function {
    /// Handles one event.
    ///
    /// # Errors
    /// When the event is not for this function, or nothing of it could be done.
    pub async fn invoke(&self, ctx: &Context, invocation: Invocation) -> Result<Value, InvokeError> {
        let answer = (self.run)(ctx, invocation).await;
        if let Err(error) = &answer {
            // The Lambda runtime does not print a handler's error.
            tracing::error!(function = self.name, %error, "invocation failed");
        }
        answer
    }

    /// The settings it needs, in one list.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        self.needs.iter().flat_map(|group| group.iter().copied()).collect()
    }
}
