//! The JSON that Lambda hands to functions and takes back: function URL and HTTP API payloads (format 2.0)
//! and SQS batches. Nothing is invoked here, and nothing is known about any function.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use storeward_core::time::Timestamp;

use crate::cloud::{ACCOUNT, REGION};

/// The largest request a function URL takes, in bytes (Lambda quotas, invocation payload).
pub const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;

/// Where a request came in.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The function's name: it stands for the URL's or API's id.
    pub id: &'a str,
    /// `$default` for a function URL, `GET /cases/{id}` for an API route.
    pub route_key: &'a str,
    /// The path below the entry, with a leading slash.
    pub path: &'a str,
    /// What the route's parameters stand for.
    pub parameters: BTreeMap<String, String>,
}

/// A request as a function gets it.
#[must_use]
pub fn request_event(
    entry: &Entry<'_>,
    parts: &Parts,
    body: &[u8],
    now: Timestamp,
    request_id: &str,
) -> Value {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let header = |name: &HeaderName| headers.get(name.as_str()).map_or("", String::as_str);
    let time = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    let domain = header(&HOST);
    let mut event = json!({
        "version": "2.0",
        "routeKey": entry.route_key,
        "rawPath": entry.path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": if entry.route_key == "$default" { "anonymous" } else { ACCOUNT },
            "apiId": entry.id,
            "domainName": domain,
            "domainPrefix": entry.id,
            "http": {
                "method": parts.method.as_str(),
                "path": entry.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": header(&USER_AGENT),
            },
            "requestId": request_id,
            "routeKey": entry.route_key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.millis(),
        },
        "isBase64Encoded": false,
    });
    let cookies: Vec<&str> = header(&COOKIE).split("; ").filter(|cookie| !cookie.is_empty()).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let query = query_parameters(parts);
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query);
    }
    if !entry.parameters.is_empty() {
        event["pathParameters"] = json!(entry.parameters);
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(header(&CONTENT_TYPE)) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Repeated parameters are joined by commas, as Lambda does.
fn query_parameters(parts: &Parts) -> BTreeMap<String, String> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs.map(|pairs| pairs.0).unwrap_or_default() {
        joined
            .entry(name)
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    joined
}

/// What Lambda passes on as text; everything else comes in base64.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || ["application/json", "application/javascript", "application/xml"].contains(&kind.as_str())
}

/// A function's answer as an HTTP response. An object with a `statusCode` is taken apart, anything else is
/// the body, and what cannot be made into a response is a 502, as on AWS.
#[must_use]
pub fn response_of(answer: &Value) -> Response<Bytes> {
    if answer.get("statusCode").is_none() {
        let body = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        let mut response = Response::new(Bytes::from(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    }
    structured(answer).unwrap_or_else(failed)
}

/// What a caller sees of a function that failed.
#[must_use]
pub fn failed() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"Internal Server Error"));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

fn structured(answer: &Value) -> Option<Response<Bytes>> {
    let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok())?;
    let body = answer["body"].as_str().unwrap_or_default();
    let body = if answer["isBase64Encoded"] == true {
        STANDARD.decode(body).ok()?
    } else {
        body.as_bytes().to_vec()
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let none = Map::new();
    for (name, value) in answer["headers"].as_object().unwrap_or(&none) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::try_from(name.as_str()).ok()?;
        response.headers_mut().insert(name, HeaderValue::try_from(text).ok()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    Some(response)
}

/// Messages as `ReceiveMessage` gave them, as the event of a mapping.
#[must_use]
pub fn batch_event(queue_arn: &str, messages: &[Value]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "md5OfBody": message["MD5OfBody"],
                "attributes": message.get("Attributes").unwrap_or(&json!({})),
                "messageAttributes": message_attributes(&message["MessageAttributes"]),
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": REGION,
            })
        })
        .collect();
    json!({ "Records": records })
}

fn message_attributes(given: &Value) -> Value {
    let none = Map::new();
    let attributes = given.as_object().unwrap_or(&none).iter().map(|(name, value)| {
        let mut attribute =
            json!({ "dataType": value["DataType"], "stringListValues": [], "binaryListValues": [] });
        for (member, theirs) in [("stringValue", "StringValue"), ("binaryValue", "BinaryValue")] {
            if !value[theirs].is_null() {
                attribute[member] = value[theirs].clone();
            }
        }
        (name.clone(), attribute)
    });
    Value::Object(attributes.collect())
}

/// Which messages of a batch are done, by their place, given what the function answered. An answer that names
/// a message that was not in the batch, or is not of the documented form, fails the whole batch.
#[must_use]
pub fn done_of(messages: &[Value], answer: &Value, reports_failures: bool) -> Vec<usize> {
    let all = || (0..messages.len()).collect();
    if !reports_failures || answer.is_null() {
        return all();
    }
    let Some(failures) = answer.get("batchItemFailures").filter(|failures| !failures.is_null()) else {
        return all();
    };
    let named: Option<BTreeSet<&str>> = failures.as_array().and_then(|failures| {
        failures
            .iter()
            .map(|failure| failure["itemIdentifier"].as_str().filter(|id| !id.is_empty()))
            .collect()
    });
    let ids: Vec<&str> =
        messages.iter().map(|message| message["MessageId"].as_str().unwrap_or_default()).collect();
    match named {
        Some(named) if named.iter().all(|name| ids.contains(name)) => {
            (0..messages.len()).filter(|&place| !named.contains(ids[place])).collect()
        }
        _ => Vec::new(),
    }
}

/// What an on-failure destination gets of an asynchronous invocation that failed to the last.
#[must_use]
pub fn failure_record(
    function_arn: &str,
    event: &Value,
    error: &str,
    attempts: u64,
    now: Timestamp,
) -> Value {
    json!({
        "version": "1.0",
        "timestamp": now.to_rfc3339(),
        "requestContext": {
            "functionArn": format!("{function_arn}:$LATEST"),
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": { "errorMessage": error },
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn event(content_type: &str, body: &[u8]) -> Value {
        let request = Request::post("/lambda-url/orders-create/in?a=1&a=2&b=%20x")
            .header("host", "127.0.0.1:4000")
            .header("content-type", content_type)
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("cookie", "a=b; c=d")
            .body(())
            .unwrap();
        let entry =
            Entry { id: "orders-create", route_key: "$default", path: "/in", parameters: BTreeMap::new() };
        let now = Timestamp::parse_rfc3339("2026-11-22T12:00:00.5Z").unwrap();
        request_event(&entry, &request.into_parts().0, body, now, "request-1")
    }

    #[test]
    fn given_a_request_when_made_an_event_then_it_is_the_payload_of_a_function_url() {
        let event = event("application/json", b"{\"id\":1}");
        assert_eq!((event["version"].as_str(), event["rawPath"].as_str()), (Some("2.0"), Some("/in")));
        assert_eq!(event["rawQueryString"], "a=1&a=2&b=%20x");
        assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": " x" }));
        assert_eq!(event["headers"]["x-twice"], "1,2");
        assert_eq!(event["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(
            (event["body"].as_str(), event["isBase64Encoded"].as_bool()),
            (Some("{\"id\":1}"), Some(false))
        );
        assert_eq!(event["requestContext"]["http"]["method"], "POST");
        assert_eq!(event["requestContext"]["time"], "22/Nov/2026:12:00:00 +0000");
        assert_eq!(event["requestContext"]["timeEpoch"], 1_795_348_800_500_i64);
        let parsed: Result<aws_lambda_events::lambda_function_urls::LambdaFunctionUrlRequest, _> =
            serde_json::from_value(event);
        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn given_a_body_that_is_not_text_when_made_an_event_then_it_comes_in_base64() {
        for (kind, body) in [("application/json", &[0xff, 0x00][..]), ("application/octet-stream", b"text")] {
            let event = event(kind, body);
            assert_eq!(event["isBase64Encoded"], true);
            assert_eq!(STANDARD.decode(event["body"].as_str().unwrap()).unwrap(), body);
        }
        assert!(event("text/plain", b"")["body"].is_null());
    }

    #[test]
    fn given_answers_when_made_responses_then_they_are_what_lambda_makes_of_them() {
        let answer = json!({ "statusCode": 401, "headers": { "x-a": "1" }, "body": "aGk=", "isBase64Encoded": true, "cookies": ["a=b"] });
        let response = response_of(&answer);
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (401, &b"hi"[..]));
        assert_eq!(
            (&response.headers()["x-a"], &response.headers()["set-cookie"]),
            (&HeaderValue::from_static("1"), &HeaderValue::from_static("a=b"))
        );
        assert_eq!(response_of(&json!({ "ok": true })).body().as_ref(), br#"{"ok":true}"#);
        for broken in [
            json!({ "statusCode": "ok" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 200, "headers": { "a b": "1" } }),
        ] {
            assert_eq!(response_of(&broken).status(), 502);
        }
    }

    #[test]
    fn given_a_batch_when_answered_then_only_what_is_not_named_is_done() {
        let messages = [json!({ "MessageId": "a" }), json!({ "MessageId": "b" })];
        let failed = |ids: &[&str]| json!({ "batchItemFailures": ids.iter().map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() });
        assert_eq!(done_of(&messages, &failed(&["a"]), true), [1]);
        assert_eq!(done_of(&messages, &failed(&[]), true), [0, 1]);
        assert_eq!(done_of(&messages, &Value::Null, true), [0, 1]);
        assert_eq!(done_of(&messages, &failed(&["a"]), false), [0, 1], "the mapping does not ask");
        for broken in [
            failed(&["c"]),
            failed(&[""]),
            json!({ "batchItemFailures": "a" }),
            json!({ "batchItemFailures": [{}] }),
        ] {
            assert!(done_of(&messages, &broken, true).is_empty(), "{broken}");
        }
    }
}
