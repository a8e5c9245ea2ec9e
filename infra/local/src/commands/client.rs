//! A small HTTP client for this machine's own loopback: one request, one connection. What is sent with it is
//! the commands' business.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Trouble;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers as they came, a line each.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends a request to a port on loopback.
pub async fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, Trouble> {
    let failed = |error: std::io::Error| Trouble::new(&format!("http://127.0.0.1:{port}{path}"), error);
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _infallible = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let strange = || Trouble(format!("http://127.0.0.1:{port}{path} did not answer in HTTP"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(strange)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Sends JSON.
pub async fn post_json(port: u16, path: &str, body: &Value) -> Result<Answer, Trouble> {
    send(port, "POST", path, &[("content-type", "application/json")], &body.to_string()).await
}

/// What the control page knows, as JSON.
pub async fn state(port: u16) -> Result<Value, Trouble> {
    let answer = send(port, "GET", "/_local/state", &[], "").await?;
    if answer.status == 200 { Ok(answer.json()) } else { Err(Trouble(answer.body)) }
}
