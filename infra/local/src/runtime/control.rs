//! The control page: what waits, what failed, what was done, the clock and the buttons to move it and to
//! replay dead letters; the same as JSON for programs. Shows references and counts, and the mails that a merchant
//! would get; never bodies of requests or records.

use std::fmt::Write as _;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use storeward_core::alert::escape_html;
use storeward_core::time::Timestamp;

use super::{LocalStack, StackError, problem};
use crate::cloud::sqs::QueueState;

/// The furthest the clock is moved at once: longer than any retention of the bundle.
const FURTHEST: Duration = Duration::from_hours(24 * 1000);

/// How many invocations and calls the page shows.
const SHOWN: usize = 50;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}\
th{font-weight:600}code{font-size:.9em;overflow-wrap:anywhere}.bad{color:#a00}.none{color:#777}\
time{white-space:nowrap}td{overflow-wrap:anywhere;white-space:pre-line}button,input{font:inherit;padding:.2rem .6rem}form{display:inline}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}.bad{color:#f88}}";

/// The routes of the page.
pub(super) fn router() -> Router<LocalStack> {
    Router::new()
        .route("/_local", get(|| async { Redirect::permanent("/_local/") }))
        .route("/_local/", get(page))
        .route("/_local/style.css", get(style))
        .route("/_local/state", get(state))
        .route("/_local/clock", post(move_clock))
        .route("/_local/dead-letters/{queue}/replay", post(replay))
        .route("/_local/shopify/{shop}/uninstall", post(uninstall))
        .layer(middleware::from_fn(guard))
}

/// Only this machine's own pages and programs: a page of somebody else in the same browser must not press the
/// buttons, and a name that was made to point here must not read along.
async fn guard(request: Request, next: Next) -> Response {
    if !is_ours(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "this page is for this machine only");
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let own_host = ["127.0.0.1", "localhost", "[::1]"].contains(&name);
    own_host && text(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], STYLE).into_response()
}

async fn state(State(stack): State<LocalStack>) -> Response {
    match stack.state().await {
        Ok(state) => Json(state).into_response(),
        Err(error) => failed(&error),
    }
}

async fn page(State(stack): State<LocalStack>) -> Response {
    match stack.state().await {
        Ok(state) => Html(render(&state)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn move_clock(State(stack): State<LocalStack>, body: Bytes) -> Response {
    // The page's own field, digits and a letter, which a form sends as they are. The header does not tell a form
    // from JSON: curl calls both one.
    let form = std::str::from_utf8(&body).ok().and_then(|form| form.strip_prefix("advance="));
    let request: Option<Value> = serde_json::from_slice(&body).ok();
    let text = form.or_else(|| request.as_ref()?["advance"].as_str());
    let Some(by) = text.and_then(duration) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            r#"say how far, as in {"advance":"48h"}: a whole number of s, m, h or d, at most 1000d"#,
        );
    };
    match stack.advance(by).await {
        Ok(()) if form.is_some() => Redirect::to("/_local/").into_response(),
        Ok(()) => Json(json!({ "now": stack.now().to_rfc3339() })).into_response(),
        Err(error) => failed(&error),
    }
}

async fn replay(State(stack): State<LocalStack>, Path(queue): Path<String>, headers: HeaderMap) -> Response {
    let known = stack.template().queues.iter().any(|known| known.name == queue);
    if !known {
        return refuse(StatusCode::NOT_FOUND, "the template has no such queue");
    }
    match stack.replay(&queue).await {
        Ok(_) if is_form(&headers) => Redirect::to("/_local/").into_response(),
        Ok(moved) => Json(json!({ "replayed": moved })).into_response(),
        Err(error) => failed(&error),
    }
}

/// The merchant's side of an uninstall: the tokens are void. What Shopify then tells the app is whoever's who delivers.
async fn uninstall(State(stack): State<LocalStack>, Path(shop): Path<String>) -> Response {
    if !stack.shopify().shops().iter().any(|(known, _)| known.domain == shop) {
        return refuse(StatusCode::NOT_FOUND, "the simulated Shopify has no such shop");
    }
    stack.shopify().uninstall(&shop);
    Json(json!({ "uninstalled": shop })).into_response()
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn refuse(status: StatusCode, detail: &str) -> Response {
    problem(status, detail).map(Body::from)
}

fn failed(error: &StackError) -> Response {
    let status = match error {
        StackError::RealTime => StatusCode::CONFLICT,
        StackError::Queue(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, &error.to_string())
}

/// `90s`, `15m`, `48h`, `30d`.
fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u64 =
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    let by = Duration::from_secs(number.checked_mul(unit)?);
    (by > Duration::ZERO && by <= FURTHEST).then_some(by)
}

impl LocalStack {
    /// Everything the control page shows, as JSON.
    pub async fn state(&self) -> Result<Value, StackError> {
        let queues = self.cloud().sqs().queues().await?;
        let sources: Vec<&str> = queues.iter().filter_map(|queue| queue.dead_letters_to.as_deref()).collect();
        let mut shown = Vec::new();
        for queue in &queues {
            let mut entry = describe_queue(queue);
            if sources.contains(&queue.name.as_str()) {
                let letters = self.cloud().sqs().peek(&queue.name).await?;
                let letters: Vec<Value> = letters
                    .iter()
                    .map(|letter| json!({ "id": letter.id, "body": letter.body, "receives": letter.receive_count }))
                    .collect();
                entry["dead_letters"] = json!(letters);
            }
            shown.push(entry);
        }
        let schedules = self.cloud().scheduler().schedules().into_iter().map(|schedule| {
            json!({
                "name": schedule.name, "group": schedule.group, "expression": schedule.expression,
                "target": schedule.target_arn, "next": schedule.next.map(Timestamp::to_rfc3339),
            })
        });
        let functions = self.template().functions.iter().map(|function| {
            json!({
                "name": function.name, "handler": function.handler,
                "url": function.url.then(|| format!("/lambda-url/{}/", function.name)),
                "queues": function.queues.iter().map(|mapping| &mapping.queue).collect::<Vec<_>>(),
                "routes": function.routes.iter().map(|route| format!("{} /api{}", route.method, route.path)).collect::<Vec<_>>(),
            })
        });
        let invocations = self.activities().into_iter().rev().take(SHOWN).map(|activity| {
            json!({
                "at": activity.at.to_rfc3339(), "function": activity.function, "trigger": activity.trigger,
                "milliseconds": u64::try_from(activity.took.as_millis()).unwrap_or(u64::MAX),
                "succeeded": activity.succeeded, "outcome": activity.outcome, "requests": activity.requests,
            })
        });
        let calls = self.shopify().calls().into_iter().rev().take(SHOWN).map(|call| {
            json!({
                "at": call.at.to_rfc3339(), "shop": call.shop, "fields": call.fields, "bytes": call.body.len(),
                "status": call.status, "outcome": call.outcome,
            })
        });
        // Without addresses: it is the merchant's.
        let mails =
            self.resend().mails().into_iter().rev().take(SHOWN).map(
                |mail| json!({ "at": mail.at.to_rfc3339(), "subject": mail.subject, "text": mail.text }),
            );
        let simulated = self.shopify().shops();
        let domains = simulated.iter().map(|(shop, _)| shop.domain.clone()).collect();
        let orders = simulated.iter().flat_map(|(shop, _)| {
            self.shopify().orders(&shop.domain).into_iter().rev().take(SHOWN).map(|order| {
                json!({
                    "shop": shop.domain, "order": order.name, "placed": order.created_at.to_rfc3339(),
                    "tags": order.tags,
                })
            })
        });
        Ok(json!({
            "shops": self.0.functions.shops(domains).await,
            "shopify_orders": orders.collect::<Vec<_>>(),
            "clock": { "now": self.now().to_rfc3339(), "movable": self.is_movable() },
            "queues": shown,
            "schedules": schedules.collect::<Vec<_>>(),
            "functions": functions.collect::<Vec<_>>(),
            "invocations": invocations.collect::<Vec<_>>(),
            "shopify_calls": calls.collect::<Vec<_>>(),
            "mails": mails.collect::<Vec<_>>(),
        }))
    }
}

fn describe_queue(queue: &QueueState) -> Value {
    json!({
        "name": queue.name, "visible": queue.visible, "in_flight": queue.in_flight, "delayed": queue.delayed,
        "dead_letters_to": queue.dead_letters_to,
    })
}

/// The page. Everything that comes from elsewhere goes through [`escape_html`].
fn render(state: &Value) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Storeward, on this machine</title><link rel=stylesheet href=/_local/style.css><h1>Storeward, on this machine</h1>",
    );
    let _ = write!(out, "<p>The clock shows <strong>{} UTC</strong>. ", field("at", &state["clock"]["now"]));
    if state["clock"]["movable"] == true {
        out.push_str(
            "<form method=post action=/_local/clock><label>Move it by <input name=advance value=1h size=6 required \
             pattern='[0-9]+[smhd]'></label> <button>Move</button></form>",
        );
    } else {
        out.push_str("It is this machine's own.");
    }
    out.push_str("</p>");
    let of_shops = |part: &str| -> Value {
        let shops = state["shops"].as_array().into_iter().flatten();
        shops.flat_map(|shop| shop[part].as_array().cloned().unwrap_or_default()).collect()
    };
    table(&mut out, "Shops", &state["shops"], &["domain", "state", "blinded"]);
    let columns = ["opened", "shop", "orders", "reasons", "size", "state", "case"];
    table(&mut out, "Cases", &of_shops("cases"), &columns);
    let columns = ["shop", "mailbox", "state", "read", "watched"];
    table(&mut out, "Mailboxes", &of_shops("mailboxes"), &columns);
    let columns = ["latest", "shop", "intent", "state", "mails", "draft", "thread"];
    table(&mut out, "Conversations in mailboxes", &of_shops("threads"), &columns);
    table(&mut out, "Mails to merchants", &state["mails"], &["at", "subject", "text"]);
    let columns = ["placed", "shop", "order", "tags"];
    table(&mut out, "Orders in the simulated Shopify", &state["shopify_orders"], &columns);
    let columns = ["at", "shop", "what", "why", "counts", "verified"];
    table(&mut out, "Ledger of the last days", &of_shops("ledger"), &columns);
    table(
        &mut out,
        "Queues",
        &state["queues"],
        &["name", "visible", "in_flight", "delayed", "dead_letters_to"],
    );
    out.push_str("<h2>Dead letters</h2>");
    let mut none = true;
    for queue in state["queues"].as_array().into_iter().flatten() {
        let letters = queue["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
        if letters.is_empty() {
            continue;
        }
        none = false;
        let name = cell(&queue["name"]);
        let _ = write!(
            out,
            "<p><strong>{name}</strong> <form method=post action='/_local/dead-letters/{name}/replay'><button>Replay {}</button></form></p>",
            letters.len()
        );
        rows(&mut out, &queue["dead_letters"], &["id", "body", "receives"]);
    }
    if none {
        out.push_str("<p class=none>None.</p>");
    }
    table(&mut out, "Schedules", &state["schedules"], &["name", "expression", "next", "target"]);
    let columns = ["at", "function", "trigger", "milliseconds", "outcome", "requests"];
    table(&mut out, "What functions did", &state["invocations"], &columns);
    let columns = ["at", "shop", "fields", "bytes", "status", "outcome"];
    table(&mut out, "What reached Shopify", &state["shopify_calls"], &columns);
    table(&mut out, "Functions", &state["functions"], &["name", "url", "queues", "routes"]);
    out.push_str("<p><a href=/_local/state>The same as JSON</a></p></html>");
    out
}

fn table(out: &mut String, title: &str, entries: &Value, columns: &[&str]) {
    let _ = write!(out, "<h2>{title}</h2>");
    if entries.as_array().is_none_or(Vec::is_empty) {
        out.push_str("<p class=none>None.</p>");
        return;
    }
    rows(out, entries, columns);
}

fn rows(out: &mut String, entries: &Value, columns: &[&str]) {
    out.push_str("<table><tr>");
    for column in columns {
        let _ = write!(out, "<th>{}</th>", column.replace('_', " "));
    }
    out.push_str("</tr>");
    for entry in entries.as_array().into_iter().flatten() {
        out.push_str(if entry["succeeded"] == false { "<tr class=bad>" } else { "<tr>" });
        for column in columns {
            let _ = write!(out, "<td>{}</td>", field(column, &entry[*column]));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

/// A value as text for a column: a time without the parts nobody reads.
fn field(column: &str, value: &Value) -> String {
    match (column, value) {
        ("at" | "opened" | "placed" | "next" | "latest" | "read" | "watched", Value::String(time)) => {
            let time = time.get(..19).unwrap_or(time).replace('T', " ");
            format!("<time>{}</time>", escape_html(time.trim_end_matches('Z')))
        }
        _ => cell(value),
    }
}

/// A value as text for the page.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape_html(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{} {}", escape_html(name), cell(value)))
            .collect::<Vec<_>>()
            .join(", "),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_durations_when_read_then_only_whole_numbers_with_a_unit_count() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(duration("48h"), Some(Duration::from_hours(48)));
        assert_eq!(duration("30d"), Some(Duration::from_hours(720)));
        for wrong in ["", "h", "48", "-1h", "1.5h", "0s", "1001d", "99999999999999999999d", "1é", "48 h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn given_text_with_markup_when_rendered_then_it_stays_text() {
        let state = json!({
            "clock": { "now": "now", "movable": true },
            "queues": [{ "name": "q", "dead_letters": [{ "id": "1", "body": "<script>alert('x')</script>", "receives": 5 }] }],
        });
        let page = render(&state);
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
        assert!(!page.contains("<script"));
        assert!(page.contains("/_local/dead-letters/q/replay"));
    }
}
