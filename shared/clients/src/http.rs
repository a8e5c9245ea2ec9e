//! One way to call out: time-outs, no redirects, one TLS stack. What is sent is the clients'.

use std::time::Duration;

use crate::error::ClientError;

/// An HTTP client. Making one costs milliseconds: it is made when it is first needed.
pub(crate) fn client() -> Result<reqwest::Client, ClientError> {
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

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
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
