//! API Gateway's HTTP APIs as the template has them: routes, throttling, the Lambda authorizer, and the answers that are
//! the gateway's own. Authorizers and functions are run like any other function.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use storeward_core::time::Timestamp;

use super::lambda::{self, Entry};
use super::{LocalStack, request_id};
use crate::template::{Api, Authorizer, Function, Limits, Route};

/// One million: what a bucket counts a request as, so that a millisecond's share of a rate is a whole number.
const REQUEST: u64 = 1_000_000;

/// What the throttling of each API has left, by its id.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<BTreeMap<String, (Timestamp, u64)>>);

impl Buckets {
    /// Takes a request out of an API's bucket, which refills with the clock. `false` when there is none left.
    fn take(&self, api: &str, limits: Limits, now: Timestamp) -> bool {
        let full = limits.burst.saturating_mul(REQUEST);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, left) = buckets.entry(api.to_owned()).or_insert((now, full));
        let passed = u64::try_from(now.since(*at).as_millis()).unwrap_or(u64::MAX);
        let refill = passed.saturating_mul(limits.rate).saturating_mul(REQUEST / 1000);
        (*at, *left) = (now.max(*at), left.saturating_add(refill).min(full));
        let Some(rest) = left.checked_sub(REQUEST) else { return false };
        *left = rest;
        true
    }
}

/// An answer of the gateway itself.
fn own(status: StatusCode, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl LocalStack {
    /// Calls the function that the template's API routes `/api/…`, `/auth…` or `/operator/…` to, as API Gateway does: throttled, and with
    /// the authorizer's word in the event.
    pub async fn call_api(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let path = path.strip_prefix("/api").map_or(path, |path| if path.is_empty() { "/" } else { path });
        let Some((function, route, parameters)) = self.routed(parts.method.as_str(), path) else {
            return own(StatusCode::NOT_FOUND, "Not Found");
        };
        let api = self.0.template.apis.iter().find(|api| Some(&api.logical_id) == route.api.as_ref());
        if let Some(Api { logical_id, limits: Some(limits), .. }) = api
            && !self.0.buckets.take(logical_id, *limits, self.now())
        {
            return own(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let route_key = format!("{} {}", route.method, route.path);
        let id = api.map_or(function.name.as_str(), |api| &api.logical_id);
        let entry = Entry { id, route_key: &route_key, path, parameters };
        let mut event = lambda::request_event(&entry, &parts, &body, self.now(), &request_id());
        if let Some(authorizer) = api.filter(|_| route.authorized).and_then(|api| api.authorizer.as_ref()) {
            match self.authorize(authorizer, &event).await {
                Ok(context) => event["requestContext"]["authorizer"] = json!({ "lambda": context }),
                Err(answer) => return *answer,
            }
        }
        self.call(function, "api", event).await
    }

    /// The most specific route: a literal part counts more than a parameter, and that more than the rest of a path.
    fn routed(&self, method: &str, path: &str) -> Option<(&Function, &Route, BTreeMap<String, String>)> {
        let all = self
            .0
            .template
            .functions
            .iter()
            .flat_map(|function| function.routes.iter().map(move |route| (function, route)));
        let fitting = all
            .filter(|(_, route)| route.method == "ANY" || route.method == method)
            .filter_map(|(function, route)| Some((function, route, match_path(&route.path, path)?)));
        fitting.min_by_key(|(_, route, parameters)| {
            (route.path.contains("+}"), parameters.len(), route.method == "ANY")
        })
    }

    /// Asks the authorizer (payload format 2.0, simple responses). Its context, or the gateway's answer.
    async fn authorize(&self, authorizer: &Authorizer, event: &Value) -> Result<Value, Box<Response<Bytes>>> {
        let refuse = |status, message| Err(Box::new(own(status, message)));
        let header = event["headers"][authorizer.header.to_ascii_lowercase()].as_str().unwrap_or_default();
        if header.is_empty() {
            // Without its identity source the authorizer is not called.
            return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        let mut asked = event.clone();
        if let Some(asked) = asked.as_object_mut() {
            asked.remove("body");
            asked.remove("isBase64Encoded");
        }
        asked["type"] = json!("REQUEST");
        asked["identitySource"] = json!([header]);
        asked["routeArn"] =
            json!(format!("arn:aws:execute-api:us-east-1:000000000000:local/$default/{}", event["rawPath"]));
        let function = self.0.template.functions.iter().find(|function| function.arn == authorizer.function);
        let Some(function) = function else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        };
        let started = self.begin(function, "authorizer");
        let invoked = self.invoke(function, asked).await;
        let answer = invoked.answer.clone();
        let outcome = answer.as_ref().err().cloned().unwrap_or_else(|| "answered".to_owned());
        self.finish(started, invoked, outcome);
        match answer.map(|answer| (answer["isAuthorized"].as_bool(), answer["context"].clone())) {
            Ok((Some(true), context)) => Ok(context),
            Ok((Some(false), _)) => refuse(StatusCode::FORBIDDEN, "Forbidden"),
            _ => refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        }
    }
}

/// `/cases/{id}` and `/files/{path+}` against a path; the values of the parameters when it fits.
fn match_path(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut given = path.trim_start_matches('/').split('/');
    for part in pattern.trim_start_matches('/').split('/') {
        let value = given.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None if part == value => {}
            None => return None,
            Some(name) => match name.strip_suffix('+') {
                Some(name) => {
                    let rest: Vec<&str> = std::iter::once(value).chain(given).collect();
                    parameters.insert(name.to_owned(), rest.join("/"));
                    return Some(parameters);
                }
                None if value.is_empty() => return None,
                None => drop(parameters.insert(name.to_owned(), value.to_owned())),
            },
        }
    }
    given.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn given_a_bucket_when_it_is_empty_then_it_fills_at_its_rate_and_never_over_its_burst() {
        let (buckets, limits) = (Buckets::default(), Limits { rate: 2, burst: 3 });
        let start = Timestamp(1_790_000_000_000);
        let taken = |at: Timestamp| (0..9).filter(|_| buckets.take("a", limits, at)).count();
        assert_eq!(taken(start), 3);
        assert_eq!(taken(start + Duration::from_millis(499)), 0);
        assert_eq!(taken(start + Duration::from_millis(500)), 1);
        assert_eq!(taken(start + Duration::from_hours(1)), 3);
        assert!(buckets.take("b", limits, start), "another API has its own");
    }

    #[test]
    fn given_route_patterns_when_matched_then_parameters_have_their_values() {
        let matched =
            |pattern, path| match_path(pattern, path).map(|found| found.into_iter().collect::<Vec<_>>());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(matched("/cases", "/cases"), Some(vec![]));
        assert_eq!(matched("/cases/{id}", "/cases/7"), Some(vec![pair("id", "7")]));
        assert_eq!(matched("/{proxy+}", "/a/b"), Some(vec![pair("proxy", "a/b")]));
        for (pattern, path) in
            [("/cases", "/cases/7"), ("/cases/{id}", "/cases"), ("/cases/{id}", "/cases/"), ("/a", "/b")]
        {
            assert_eq!(matched(pattern, path), None, "{pattern} {path}");
        }
    }
}
