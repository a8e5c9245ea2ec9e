//! One way to call out, through the gate: what a call carries is held against the register of sub-processors before
//! anything is sent. Time-outs, no redirects, one TLS stack. What is sent is the clients'.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value};
use storeward_core::data_map::Processor;
use storeward_core::egress::{Categories, Declaration, Outgoing, Register, Stance, Use};
use storeward_core::time::{Clock, Timestamp};

use crate::error::ClientError;

/// A POST of JSON, made of nothing but values that say what they are about.
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

/// A request of any kind, made of nothing but values that say what they are about.
pub(crate) struct Request {
    /// How it is asked.
    pub(crate) method: Method,
    /// What it is for.
    pub(crate) purpose: Use,
    /// Where it goes, without query.
    pub(crate) url: Outgoing<String>,
    /// Its query.
    pub(crate) query: Vec<(&'static str, Outgoing<String>)>,
    /// Its headers.
    pub(crate) headers: Vec<(&'static str, Outgoing<String>)>,
    /// Its body.
    pub(crate) body: Outgoing<Body>,
    /// How long it may take, where that is not as usual.
    pub(crate) timeout: Option<Duration>,
}

/// The body of a request.
pub(crate) enum Body {
    /// None.
    Nothing,
    /// JSON.
    Json(Value),
    /// Fields as a browser sends them.
    Form(Vec<(&'static str, String)>),
}

impl From<Call> for Request {
    fn from(Call { purpose, url, headers, body, timeout }: Call) -> Self {
        let body = body.map(Body::Json);
        Self { method: Method::POST, purpose, url, query: Vec::new(), headers, body, timeout }
    }
}

impl Request {
    /// The sum of what its parts carry.
    fn carries(&self) -> Categories {
        let parts = self.query.iter().chain(&self.headers);
        parts.fold(self.url.carries().and(self.body.carries()), |all, (_, part)| all.and(part.carries()))
    }

    /// Its address with its query.
    fn address(&self) -> String {
        let url = self.url.value();
        if self.query.is_empty() {
            return url.clone();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.query.iter().map(|(name, value)| (*name, value.value())));
        format!("{url}?{}", query.finish())
    }
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
        self.send(call.into()).await
    }

    /// Sends a request of any kind, if it is permitted.
    ///
    /// # Errors
    /// `NotPermitted` when it is not: nothing was sent. `Unavailable` without an answer.
    pub(crate) async fn send(&self, asked: Request) -> Result<reqwest::Response, ClientError> {
        let categories = asked.carries();
        self.permit(Declaration { processor: self.processor, purpose: asked.purpose, categories })?;
        let mut request = self.http.request(asked.method.clone(), asked.address());
        for (name, value) in &asked.headers {
            request = request.header(*name, value.value());
        }
        request = match asked.body.value() {
            Body::Nothing if asked.method == Method::GET => request,
            // Said rather than left out: some fronts refuse a POST that does not say how long it is.
            Body::Nothing => request.header("content-length", "0"),
            Body::Json(value) => request.json(value),
            Body::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(fields);
                request.header("content-type", "application/x-www-form-urlencoded").body(form.finish())
            }
        };
        if let Some(timeout) = asked.timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|error| transport_error(&error))
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
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

    /// The JSON document at an address, of at most `largest` bytes, and how long it may be kept, where that is said.
    pub(crate) async fn document(
        &self,
        address: &str,
        largest: usize,
    ) -> Result<(Value, Option<Duration>), ClientError> {
        let asked = self.0.get(address).timeout(Duration::from_secs(3)).send().await;
        let response = asked.map_err(|error| transport_error(&error))?;
        if let Some(error) = status_error(&response) {
            return Err(error);
        }
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kept = max_age(text("cache-control"), text("age"));
        let text = bounded(response, largest).await?;
        let text = text.ok_or_else(|| ClientError::Rejected("a document too large".to_owned()))?;
        let document =
            serde_json::from_slice(&text).map_err(|_| ClientError::Rejected("not JSON".to_owned()))?;
        Ok((document, kept))
    }
}

/// How long an answer may be kept (RFC 9111, 4.2.1 and 4.2.3), where it says so.
fn max_age(cache_control: Option<&str>, age: Option<&str>) -> Option<Duration> {
    let mut directives = cache_control?.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(0),
            "max-age" => value.trim_matches('"').parse::<u64>().ok(),
            _ => None,
        }
    })?;
    let age = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    Some(Duration::from_secs(seconds.saturating_sub(age)))
}

/// The body of an answer, of at most `largest` bytes; `None` for a larger one, of which no more than that is read.
pub(crate) async fn bounded(
    mut response: reqwest::Response,
    largest: usize,
) -> Result<Option<Vec<u8>>, ClientError> {
    let told = response.content_length().and_then(|length| usize::try_from(length).ok());
    if told.is_some_and(|length| length > largest) {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(told.unwrap_or(0));
    while let Some(part) = response.chunk().await.map_err(|error| transport_error(&error))? {
        if body.len() + part.len() > largest {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
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

    #[tokio::test]
    async fn what_a_query_or_a_form_carries_is_held_against_the_register_too() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let outside = Outside::new(Processor::Resend, Register::CURRENT, clock).unwrap();
        let request = |query: Category, body: Category| Request {
            method: Method::GET,
            purpose: Use::CaseMail,
            url: Outgoing::text("http://127.0.0.1:1/"),
            query: vec![("q", Outgoing::about(query, "a b&c".to_owned()))],
            headers: Vec::new(),
            body: Outgoing::about(body, Body::Form(vec![("name", "value".to_owned())])),
            timeout: None,
        };
        let contact = Refusal::Undeclared(Categories::of(&[Category::CustomerContact]));
        let (fine, too_much) = (Category::OrderMetadata, Category::CustomerContact);
        assert_eq!(request(fine, fine).address(), "http://127.0.0.1:1/?q=a+b%26c");
        for (query, body, expected) in [
            (fine, fine, ClientError::Unavailable("no connection".to_owned())),
            (too_much, fine, ClientError::NotPermitted(contact)),
            (fine, too_much, ClientError::NotPermitted(contact)),
        ] {
            assert_eq!(outside.send(request(query, body)).await.unwrap_err(), expected);
        }
    }

    #[test]
    fn how_long_a_document_may_be_kept_is_what_is_left_of_what_it_says() {
        let seconds = |control, age| max_age(control, age).map(|time| time.as_secs());
        let google = Some("public, max-age=22311, must-revalidate, no-transform");
        assert_eq!(seconds(google, None), Some(22_311));
        assert_eq!(seconds(google, Some("11")), Some(22_300));
        assert_eq!(seconds(google, Some("30000")), Some(0));
        assert_eq!(seconds(Some("no-store, max-age=9"), None), Some(0));
        assert_eq!(seconds(Some("private"), None), None);
        assert_eq!(seconds(Some("max-age=soon"), None), None);
        assert_eq!(seconds(None, Some("1")), None);
    }
}
