//! Every AWS request as it was sent, whole: for the tests that look for what must not be in one, or for who sent what.
//! Counting and disturbing requests is the connector's.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::connector::{Transport, lock, transport};

/// A request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Method, address and headers, as one text.
    pub head: String,
    /// `X-Amz-Target`, or method and path where a service has none.
    pub operation: String,
    /// The body, if it is JSON.
    pub body: Value,
}

/// The requests that went over a way since they were last taken.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<Vec<Sent>>>);

impl Wire {
    /// The same way, with every request noted.
    #[must_use]
    pub fn tap(&self, way: Transport) -> Transport {
        let sent = Arc::clone(&self.0);
        transport(move |request: Request<Bytes>| {
            let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
            let operation = target
                .map_or_else(|| format!("{} {}", request.method(), request.uri().path()), str::to_owned);
            let head = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            lock(&sent).push(Sent { head, operation, body });
            way(request)
        })
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *lock(&self.0))
    }
}
