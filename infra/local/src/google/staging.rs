//! What sets the stage over HTTP, for whoever is not in this process: `POST /_google/staging/<action>` with JSON. Google has
//! nothing of the kind.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::post;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::oauth::Answer;
use super::{Google, Trouble, json_response};

/// What can be done, for whoever asks for something else.
const ACTIONS: &str = "mailbox {address}; deliver {mailbox, raw}; delete {mailbox, id}; forget-history {mailbox}; \
                       watch-elsewhere {mailbox}; trouble {mailbox, method, kind}; end-consent {mailbox}; \
                       answer {deny} or {scopes}; push {mailbox, claims}";

pub(super) fn router() -> Router<Google> {
    Router::new().route("/staging/{action}", post(serve))
}

async fn serve(State(google): State<Google>, Path(action): Path<String>, body: Bytes) -> Response<Body> {
    let wish: Value = serde_json::from_slice(&body).unwrap_or_default();
    match google.stage(&action, &wish) {
        Some(done) => json_response(StatusCode::OK, &done),
        None => json_response(StatusCode::BAD_REQUEST, &json!({ "error": ACTIONS })),
    }
}

fn trouble(kind: &str) -> Option<Trouble> {
    Some(match kind {
        "too-many-concurrent" => Trouble::TooManyConcurrent,
        "user-rate-limit" => Trouble::UserRateLimit(Some(Duration::from_secs(30))),
        "quota" => Trouble::Quota,
        "limit-until" => Trouble::LimitUntil(Duration::from_mins(15)),
        "unavailable" => Trouble::Fails(StatusCode::SERVICE_UNAVAILABLE),
        "done-and-fails" => Trouble::DoneAndFails,
        "token-ended" => Trouble::TokenEnded,
        "out-of-scope" => Trouble::OutOfScope,
        _ => return None,
    })
}

impl Google {
    fn stage(&self, action: &str, wish: &Value) -> Option<Value> {
        let text = |name: &str| wish[name].as_str();
        if action == "mailbox" {
            self.add_mailbox(text("address")?);
            return Some(json!({}));
        }
        if action == "answer" {
            let scopes = text("scopes").unwrap_or_default().split_whitespace().map(str::to_owned);
            let denies = wish["deny"] == true;
            self.answer_next(if denies { Answer::Denies } else { Answer::Grants(scopes.collect()) });
            return Some(json!({}));
        }
        let mailbox = text("mailbox").filter(|address| self.history_id(address).is_some())?;
        match action {
            "deliver" => {
                let id = self.deliver(mailbox, text("raw")?.to_owned())?;
                let held = self.held(mailbox).into_iter().find(|held| held.id == id)?;
                return Some(json!({ "id": held.id, "threadId": held.thread }));
            }
            "delete" => return Some(json!({ "deleted": self.delete(mailbox, text("id")?) })),
            "forget-history" => self.forget_history(mailbox),
            "watch-elsewhere" => self.watch_elsewhere(mailbox),
            "end-consent" => self.end_consent(mailbox),
            "trouble" => {
                let trouble = trouble(text("kind")?)?;
                match text("method") {
                    Some(method) => self.trouble_at(mailbox, method, trouble),
                    None => self.trouble_next(mailbox, trouble),
                }
            }
            "push" => {
                let request = self.push_event(mailbox, "/")?;
                let body: Value = serde_json::from_slice(request.body()).ok()?;
                return Some(json!({ "token": self.push_token(&wish["claims"]), "body": body }));
            }
            _ => return None,
        }
        Some(json!({}))
    }
}
