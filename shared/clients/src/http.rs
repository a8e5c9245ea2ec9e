//! One way to call out, through the gate: what a call carries is held against the register of sub-processors before
//! anything is sent. Time-outs, no redirects, one TLS stack. What is sent is the clients'.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use storeward_core::data_map::Processor;
use storeward_core::egress::{Declaration, Outgoing, Register, Stance, Use};
use storeward_core::time::Clock;

use crate::error::ClientError;

/// A request, made of nothing but values that say what they are about.
pub(crate) struct Call {
    /// What it is for.
    pub(crate) purpose: Use,
    /// Where it goes.
    pub(crate) url: Outgoing<String>,
    /// Its headers.
    pub(crate) headers: Vec<(&'static str, Outgoing<String>)>,
    /// Its body, as JSON.
    pub(crate) body: Outgoing<Value>,
    /// How long it may take, where that is less than usual.
    pub(crate) timeout: Option<Duration>,
}

/// An object of the body of a call.
pub(crate) fn object(fields: impl IntoIterator<Item = (&'static str, Outgoing<Value>)>) -> Outgoing<Value> {
    let none = Outgoing::own(Map::new());
    let object = fields.into_iter().fold(none, |object, (name, field)| {
        object.with(field, |mut object, field| {
            object.insert(name.to_owned(), field);
            object
        })
    });
    object.map(Value::Object)
}

/// The way out to one sub-processor, for one merchant or for nobody. There is no other: the HTTP client is in here.
#[derive(Clone)]
pub(crate) struct Outside {
    http: reqwest::Client,
    processor: Processor,
    register: Register,
    clock: Arc<dyn Clock>,
    stance: Arc<Stance>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outside({})", self.processor.name())
    }
}

impl Outside {
    /// A way out for nobody in particular. Making one costs milliseconds: it is made when it is first needed.
    pub(crate) fn new(
        processor: Processor,
        register: Register,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        Ok(Self { http: client()?, processor, register, clock, stance: Arc::default() })
    }

    /// The same for a merchant.
    pub(crate) fn of(&self, stance: Stance) -> Self {
        Self { stance: Arc::new(stance), ..self.clone() }
    }

    /// Sends a call, if it is permitted.
    ///
    /// # Errors
    /// `NotPermitted` when it is not: nothing was sent. `Unavailable` without an answer.
    pub(crate) async fn post(&self, call: Call) -> Result<reqwest::Response, ClientError> {
        let categories = call
            .headers
            .iter()
            .fold(call.url.carries().and(call.body.carries()), |all, (_, header)| all.and(header.carries()));
        let declaration = Declaration { processor: self.processor, purpose: call.purpose, categories };
        self.permit(declaration)?;
        let mut request = self.http.post(call.url.value()).json(call.body.value());
        for (name, value) in &call.headers {
            request = request.header(*name, value.value());
        }
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|error| transport_error(&error))
    }

    /// What is a mistake of the program is an error with words of its own, which an alarm counts (template.yaml,
    /// `EgressRefusedAlarm`); the rest is how it should be.
    fn permit(&self, call: Declaration) -> Result<(), ClientError> {
        let Err(refusal) = self.register.permits(call, &self.stance, self.clock.now()) else { return Ok(()) };
        let (processor, purpose) = (call.processor.name(), call.purpose.name());
        if refusal.is_a_fault() {
            tracing::error!(processor, purpose, categories = %call.categories, %refusal, "egress refused");
        } else {
            tracing::info!(processor, purpose, %refusal, "egress held back");
        }
        Err(ClientError::NotPermitted(refusal))
    }
}

/// The way to documents that an address of our own settings publishes to anyone. Nothing goes with the question, so no
/// sub-processor learns anything and the register has no say: there is no body, no header and no token to give.
#[derive(Debug)]
pub(crate) struct Published(reqwest::Client);

impl Published {
    pub(crate) fn new() -> Result<Self, ClientError> {
        client().map(Self)
    }

    /// The JSON document at an address, of at most `largest` bytes.
    pub(crate) async fn document(&self, address: &str, largest: usize) -> Result<Value, ClientError> {
        let asked = self.0.get(address).timeout(Duration::from_secs(3)).send().await;
        let mut response = asked.map_err(|error| transport_error(&error))?;
        if let Some(error) = status_error(&response) {
            return Err(error);
        }
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| transport_error(&error))? {
            if text.len() + part.len() > largest {
                return Err(ClientError::Rejected("a document too large".to_owned()));
            }
            text.extend_from_slice(&part);
        }
        serde_json::from_slice(&text).map_err(|_| ClientError::Rejected("not JSON".to_owned()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that makes an HTTP client: behind the gate")]
fn client() -> Result<reqwest::Client, ClientError> {
    // ring as in the AWS clients (docs/decisions/0003); a second call finds it installed.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        // A redirect would carry a token to somewhere that nobody chose.
        .redirect(reqwest::redirect::Policy::none())
        // Lambda freezes between events: a connection that waited longer is likely dead.
        .pool_idle_timeout(Duration::from_secs(20))
        .user_agent(concat!("Storeward/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| ClientError::Unavailable("no HTTP client".to_owned()))
}

/// The status of an answer as an error, where it is one; `retry-after` in seconds is obeyed.
pub(crate) fn status_error(response: &reqwest::Response) -> Option<ClientError> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    Some(match status.as_u16() {
        401 | 403 => ClientError::Unauthorized,
        429 => ClientError::Throttled(retry_after(response).unwrap_or(Duration::from_secs(2))),
        408 | 500..=599 => ClientError::Unavailable(format!("status {}", status.as_u16())),
        other => ClientError::Rejected(format!("status {other}")),
    })
}

/// How long to wait, as `retry-after` says in seconds.
pub(crate) fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds: f64 = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A failed exchange, without the URL: it names the shop.
pub(crate) fn transport_error(error: &reqwest::Error) -> ClientError {
    let how = if error.is_timeout() {
        "time-out"
    } else if error.is_connect() {
        "no connection"
    } else {
        "broken answer"
    };
    ClientError::Unavailable(how.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use storeward_core::data_map::Category;
    use storeward_core::egress::{Categories, Refusal};
    use storeward_core::time::{ManualClock, Timestamp};

    use super::*;

    /// A call that carries something in its address, a header and its body each.
    fn call(body: Category, purpose: Use) -> Call {
        let about = |category, text: &str| Outgoing::about(category, text.to_owned());
        Call {
            purpose,
            url: about(Category::MerchantAccount, "http://127.0.0.1:1/"),
            headers: vec![("x-name", about(Category::Pseudonym, "name"))],
            body: object([("a", Outgoing::own(json!(1))), ("b", Outgoing::about(body, json!("b")))]),
            timeout: None,
        }
    }

    #[tokio::test]
    async fn what_carries_too_much_anywhere_is_not_sent_and_the_rest_is() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let outside = Outside::new(Processor::Resend, Register::CURRENT, clock).unwrap();
        // Nobody listens there: what is sent has no answer.
        let sent = outside.post(call(Category::OrderMetadata, Use::CaseMail)).await;
        assert_eq!(sent.unwrap_err(), ClientError::Unavailable("no connection".to_owned()));
        let refused = outside.post(call(Category::CustomerContact, Use::CaseMail)).await.unwrap_err();
        let contact = Categories::of(&[Category::CustomerContact]);
        assert_eq!(refused, ClientError::NotPermitted(Refusal::Undeclared(contact)));
        assert!(!refused.is_transient());
        let mut header = call(Category::OrderMetadata, Use::CaseMail);
        header.headers.push(("x-more", Outgoing::about(Category::CustomerContact, "more".to_owned())));
        assert_eq!(outside.post(header).await.unwrap_err(), refused);
        let mut url = call(Category::OrderMetadata, Use::CaseMail);
        url.url = Outgoing::about(Category::CustomerContact, "http://127.0.0.1:1/".to_owned());
        assert_eq!(outside.post(url).await.unwrap_err(), refused);
        let objecting =
            Stance { objections: [(Processor::Resend, Timestamp(0))].into(), ..Stance::default() };
        let objected = outside.of(objecting).post(call(Category::OrderMetadata, Use::CaseMail)).await;
        assert_eq!(objected.unwrap_err(), ClientError::NotPermitted(Refusal::Objected));
    }
}
