//! A small simulated Shopify: shops with tokens and orders behind the Admin GraphQL API, with its cost model,
//! its errors and a record of every byte that reached it. It has what Storeward asks for and nothing of the
//! rest of Shopify.

pub mod graphql;
pub mod oauth;
mod orders;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::Use;
use storeward_core::time::{Clock, Timestamp};

use crate::egress::Reached;

use self::graphql::{Prepared, Schema, Selected};
use self::oauth::{AppCredentials, Consent};

/// The version of the Admin API that is simulated.
pub const API_VERSION: &str = "2026-10";

/// The most one query may cost, in points (Shopify, "Rate limits").
const DEAREST_QUERY: u64 = 1000;

/// How many seconds' worth of points a bucket holds (Shopify, "Rate limits": 2,000 points at 100 per second).
const BUCKET_SECONDS: u64 = 20;

/// The most tags an order can have, and the most characters of one.
const MOST_TAGS: usize = 250;
const LONGEST_TAG: usize = 40;

/// The most facts of a risk assessment, and the most characters of one.
const MOST_FACTS: usize = 20;
const LONGEST_FACT: usize = 256;

/// The most holds an app can put on a fulfillment order, and the most characters of a handle.
const MOST_HOLDS: usize = 10;
const LONGEST_HANDLE: usize = 64;

/// How many calls are remembered; the oldest go first.
const REMEMBERED: usize = 10_000;

/// A shop that installed the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedShop {
    /// `<name>.myshopify.com`.
    pub domain: String,
    /// The number in the shop's global id.
    pub id: u64,
    /// What the merchant calls it.
    pub name: String,
    /// Where the merchant is reached.
    pub email: String,
    /// The app's access token of the kind that lasts; empty where it has none.
    pub access_token: String,
    /// What the merchant granted, such as `write_orders`.
    pub scopes: BTreeSet<String>,
}

/// An order as the merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedOrder {
    /// The number in the order's global id; its one fulfillment order has the same.
    pub id: u64,
    /// `#1001`.
    pub name: String,
    /// When it was placed.
    pub created_at: Timestamp,
    /// Whether everything was sent.
    pub fulfilled: bool,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// What apps said about its risk.
    pub assessments: Vec<Assessment>,
    /// What keeps it from being sent.
    pub holds: Vec<Hold>,
    /// What its latest webhook told, where one was heard of: whom it is for, what it costs, what became of it.
    pub told: Value,
}

impl SimulatedOrder {
    /// A new order without anything on it.
    #[must_use]
    pub fn new(id: u64, name: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            created_at,
            fulfilled: false,
            tags: Vec::new(),
            assessments: Vec::new(),
            holds: Vec::new(),
            told: Value::Null,
        }
    }

    /// The order's global id.
    #[must_use]
    pub fn gid(&self) -> String {
        gid("Order", self.id)
    }
}

/// A risk assessment of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// `HIGH`, `MEDIUM`, `LOW`, `NONE` or `PENDING`.
    pub risk_level: String,
    /// Description and sentiment of each fact.
    pub facts: Vec<(String, String)>,
}

/// A hold on an order's fulfillment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The number in the hold's global id.
    pub id: u64,
    /// The app's own name for the hold.
    pub handle: String,
    /// Why, as one of Shopify's reasons.
    pub reason: String,
    /// Why, in words.
    pub notes: Option<String>,
}

/// A request that reached Shopify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// The shop in its path.
    pub shop: String,
    /// The root fields it asked for; empty where it could not be read.
    pub fields: Vec<String>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The HTTP status of the answer.
    pub status: u16,
    /// `answered`, or the code of the first error.
    pub outcome: String,
}

/// How Shopify answers who asks too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttling {
    /// Points a second that come back: 100, 200, 1000 or 2000 by plan.
    pub restore_rate: u64,
    /// The status of a refusal: 200 or 429, both happen.
    pub status: StatusCode,
}

impl Default for Throttling {
    fn default() -> Self {
        Self { restore_rate: 100, status: StatusCode::OK }
    }
}

/// The simulator's own schema cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError(String);

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated Admin API has a broken schema: {}", self.0)
    }
}

impl std::error::Error for SchemaError {}

struct Shop {
    profile: SimulatedShop,
    installed: bool,
    orders: BTreeMap<u64, SimulatedOrder>,
    bucket: Bucket,
    consent: Consent,
    updated_at: Timestamp,
}

/// Points in thousandths, refilled by the clock.
struct Bucket {
    thousandths: u64,
    at: Timestamp,
}

#[derive(Default)]
struct World {
    shops: BTreeMap<String, Shop>,
    calls: VecDeque<Call>,
    throttling: Throttling,
    failures: VecDeque<StatusCode>,
    next_hold: u64,
    app: AppCredentials,
    next_token: u64,
}

/// The simulated Shopify. Clones share it.
#[derive(Clone)]
pub struct Shopify {
    clock: Arc<dyn Clock>,
    schema: Arc<Schema>,
    world: Arc<Mutex<World>>,
}

impl fmt::Debug for Shopify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shopify").finish_non_exhaustive()
    }
}

/// An answer before it is a response.
struct Answer {
    status: StatusCode,
    outcome: String,
    fields: Vec<String>,
    body: Value,
}

impl Answer {
    fn refused(status: StatusCode, outcome: &str, body: Value) -> Self {
        Self { status, outcome: outcome.to_owned(), fields: Vec::new(), body }
    }
}

/// What a root field comes to: a whole value, or an entry of `errors`.
type Resolved = Result<Value, Value>;

impl Shopify {
    /// A Shopify without shops.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, SchemaError> {
        let schema = Schema::parse(include_str!("schema.graphql")).map_err(SchemaError)?;
        Ok(Self { clock, schema: Arc::new(schema), world: Arc::default() })
    }

    /// Installs the app in a shop, again if it was there: its orders stay, its old tokens are void.
    pub fn install(&self, shop: SimulatedShop) {
        self.put_shop(shop, true);
    }

    /// A shop that does not have the app yet: its merchant installs it by consent.
    pub fn open_shop(&self, shop: SimulatedShop) {
        self.put_shop(shop, false);
    }

    fn put_shop(&self, shop: SimulatedShop, installed: bool) {
        let now = self.clock.now();
        let mut world = self.world();
        let full = world.throttling.restore_rate * BUCKET_SECONDS * 1000;
        let orders = world.shops.remove(&shop.domain).map(|old| old.orders).unwrap_or_default();
        let bucket = Bucket { thousandths: full, at: now };
        world.shops.insert(
            shop.domain.clone(),
            Shop { profile: shop, installed, orders, bucket, consent: Consent::default(), updated_at: now },
        );
    }

    /// Uninstalls the app: the token is void from now on.
    pub fn uninstall(&self, domain: &str) {
        if let Some(shop) = self.world().shops.get_mut(domain) {
            shop.end();
        }
    }

    /// Whether the app is installed in a shop.
    #[must_use]
    pub fn is_installed(&self, domain: &str) -> bool {
        self.world().shops.get(domain).is_some_and(|shop| shop.installed)
    }

    /// Puts an order into a shop. Answers whether the shop exists.
    #[expect(clippy::must_use_candidate, reason = "who made the shop need not ask whether it exists")]
    pub fn add_order(&self, domain: &str, order: SimulatedOrder) -> bool {
        let mut world = self.world();
        world.shops.get_mut(domain).map(|shop| shop.orders.insert(order.id, order)).is_some()
    }

    /// Puts the order that a webhook tells of into its shop, unless it is there: what somebody else sent in
    /// Shopify's name happened in Shopify. Answers the order's number when it is new.
    pub fn hear_of(&self, domain: &str, webhook: &[u8]) -> Option<u64> {
        let order: Value = serde_json::from_slice(webhook).ok()?;
        let id = order["id"].as_u64()?;
        let placed = order["created_at"].as_str().and_then(Timestamp::parse_rfc3339)?;
        let mut world = self.world();
        let orders = &mut world.shops.get_mut(domain)?.orders;
        let known = orders.contains_key(&id);
        let name = order["name"].as_str().unwrap_or_default();
        orders.entry(id).or_insert_with(|| SimulatedOrder::new(id, name, placed)).hear(order);
        (!known).then_some(id)
    }

    /// Takes an order out of a shop again.
    pub fn forget(&self, domain: &str, order: u64) {
        if let Some(shop) = self.world().shops.get_mut(domain) {
            shop.orders.remove(&order);
        }
    }

    /// All orders of a shop as they are now, by id.
    #[must_use]
    pub fn orders(&self, domain: &str) -> Vec<SimulatedOrder> {
        self.world().shops.get(domain).map(|shop| shop.orders.values().cloned().collect()).unwrap_or_default()
    }

    /// All shops, installed or not.
    #[must_use]
    pub fn shops(&self) -> Vec<(SimulatedShop, bool)> {
        self.world().shops.values().map(|shop| (shop.profile.clone(), shop.installed)).collect()
    }

    /// Every request that arrived, oldest first; the last ten thousand.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.iter().cloned().collect()
    }

    /// The same as the egress recorder tells it. A call that changes something, or asks for one order, shows a case.
    #[must_use]
    pub fn reached(&self) -> Vec<Reached> {
        let reading =
            |call: &Call| call.fields.iter().all(|field| matches!(field.as_str(), "shop" | "orders"));
        // A search by address is one for whoever wrote to the shop.
        let by_address = |call: &Call| call.body.windows(9).any(|part| part == br#""email:\""#);
        let reached = |call: &Call| Reached {
            processor: Processor::Shopify,
            purpose: match (reading(call), by_address(call)) {
                (true, true) => Use::OrderContext,
                (true, false) => Use::Reading,
                (false, _) => Use::Flagging,
            },
            bytes: [call.shop.as_bytes(), b"\n", &call.body].concat(),
        };
        self.world().calls.iter().map(reached).collect()
    }

    /// Sets how fast points come back and what a refusal looks like.
    pub fn set_throttling(&self, throttling: Throttling) {
        self.world().throttling = throttling;
    }

    /// Takes all points of a shop's bucket away, as another app's requests would not but our own would.
    pub fn drain(&self, domain: &str) {
        let now = self.clock.now();
        if let Some(shop) = self.world().shops.get_mut(domain) {
            shop.bucket = Bucket { thousandths: 0, at: now };
        }
    }

    /// Answers the next request with this status and no sense in the body, as Shopify does on a bad day.
    pub fn fail_next(&self, status: StatusCode) {
        self.world().failures.push_back(status);
    }

    /// The Admin API at `/{shop}/admin/api/2026-10/graphql.json`, and consent at `/{shop}/admin/oauth/…`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{shop}/admin/api/{version}/graphql.json", post(serve))
            .with_state(self.clone())
            .merge(self.consent_router())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, domain: &str, version: &str, token: Option<&str>, body: &Bytes) -> Answer {
        let now = self.clock.now();
        let mut world = self.world();
        if let Some(status) = world.failures.pop_front() {
            return Answer::refused(status, "failed", json!({ "errors": "Internal Server Error" }));
        }
        let throttling = world.throttling;
        let next_hold = world.next_hold + 1;
        let Some(shop) = world.shops.get_mut(domain).filter(|_| version == API_VERSION) else {
            return Answer::refused(StatusCode::NOT_FOUND, "not found", json!({ "errors": "Not Found" }));
        };
        let lasting = Some(shop.profile.access_token.as_str()).filter(|token| !token.is_empty());
        let known = token.is_some_and(|token| lasting == Some(token) || shop.consent.allows(token, now));
        if !shop.installed || !known {
            let message = "[API] Invalid API key or access token (unrecognized login or wrong password)";
            return Answer::refused(StatusCode::UNAUTHORIZED, "unauthorized", json!({ "errors": message }));
        }
        let Some((query, operation_name, variables)) = read(body) else {
            let errors = json!({ "errors": { "query": "Required parameter missing or invalid" } });
            return Answer::refused(StatusCode::BAD_REQUEST, "bad request", errors);
        };
        let prepared = match self.schema.prepare(&query, operation_name.as_deref(), &variables) {
            Ok(prepared) => prepared,
            Err(errors) => {
                let code = errors[0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
                return Answer::refused(StatusCode::OK, &code, json!({ "errors": errors }));
            }
        };
        let fields: Vec<String> = prepared.fields.iter().map(|field| field.name.clone()).collect();
        shop.bucket.refill(throttling, now);
        if let Some(mut refused) = shop.bucket.refuse(&prepared, throttling) {
            refused.fields = fields;
            return refused;
        }
        let mut data = Map::new();
        let mut errors = Vec::new();
        for field in &prepared.fields {
            let value = match shop.resolve(field, next_hold) {
                Ok(value) => self.schema.project(field, &value),
                Err(mut error) => {
                    error["path"] = json!([field.key]);
                    errors.push(error);
                    Value::Null
                }
            };
            data.insert(field.key.clone(), value);
        }
        let data = Value::Object(data);
        let actual = self.schema.actual_cost(&prepared, &data);
        shop.bucket.thousandths = shop.bucket.thousandths.saturating_sub(actual * 1000);
        let cost = shop.bucket.cost(&prepared, Some(actual), throttling);
        world.next_hold = next_hold;
        let outcome = errors.first().and_then(|error| error["extensions"]["code"].as_str());
        let outcome = outcome.unwrap_or("answered").to_owned();
        let mut body = json!({ "data": data, "extensions": { "cost": cost } });
        if !errors.is_empty() {
            body["errors"] = Value::Array(errors);
        }
        Answer { status: StatusCode::OK, outcome, fields, body }
    }
}

async fn serve(
    State(shopify): State<Shopify>,
    Path((shop, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let token = headers.get("x-shopify-access-token").and_then(|token| token.to_str().ok());
    let answer = shopify.answer(&shop, &version, token, &body);
    let call = Call {
        at: shopify.clock.now(),
        shop,
        fields: answer.fields,
        body,
        status: answer.status.as_u16(),
        outcome: answer.outcome,
    };
    let mut world = shopify.world();
    world.calls.push_back(call);
    if world.calls.len() > REMEMBERED {
        world.calls.pop_front();
    }
    drop(world);
    let mut response = Response::new(Body::from(answer.body.to_string()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert("x-shopify-api-version", HeaderValue::from_static(API_VERSION));
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2.0"));
    }
    response
}

impl Bucket {
    fn refill(&mut self, throttling: Throttling, now: Timestamp) {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let full = throttling.restore_rate * BUCKET_SECONDS * 1000;
        // Points a second are thousandths a millisecond.
        let back = passed.saturating_mul(throttling.restore_rate);
        self.thousandths = self.thousandths.saturating_add(back).min(full);
        self.at = now;
    }

    fn refuse(&self, prepared: &Prepared, throttling: Throttling) -> Option<Answer> {
        let cost = prepared.requested_cost;
        let (status, code, message) = if cost > DEAREST_QUERY {
            let message = format!(
                "Query cost is {cost}, which exceeds the single query max cost limit ({DEAREST_QUERY})."
            );
            (StatusCode::OK, "MAX_COST_EXCEEDED", message)
        } else if cost.saturating_mul(1000) > self.thousandths {
            (throttling.status, "THROTTLED", "Throttled".to_owned())
        } else {
            return None;
        };
        let body = json!({
            "errors": [{ "message": message, "extensions": { "code": code } }],
            "extensions": { "cost": self.cost(prepared, None, throttling) },
        });
        Some(Answer::refused(status, code, body))
    }

    fn cost(&self, prepared: &Prepared, actual: Option<u64>, throttling: Throttling) -> Value {
        json!({
            "requestedQueryCost": prepared.requested_cost,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": throttling.restore_rate * BUCKET_SECONDS,
                "currentlyAvailable": self.thousandths / 1000,
                "restoreRate": throttling.restore_rate,
            },
        })
    }
}

impl Shop {
    /// The whole value of a root field; what was selected of it is taken out later.
    fn resolve(&mut self, field: &Selected, next_hold: u64) -> Resolved {
        match field.name.as_str() {
            "shop" => Ok(self.describe()),
            "order" => {
                self.require("order", "read_orders")?;
                Ok(self.order(&field.arguments, "id")?.map_or(Value::Null, |order| describe_order(order)))
            }
            "node" => {
                let id = text(&field.arguments, "id");
                if number(id, "Shop") == Some(self.profile.id) {
                    return Ok(self.describe());
                }
                self.require("node", "read_orders")?;
                Ok(self.order(&field.arguments, "id")?.map_or(Value::Null, |order| describe_order(order)))
            }
            "orders" => {
                self.require("orders", "read_orders")?;
                orders::listed(self.orders.values(), &field.arguments)
            }
            "appUninstall" => {
                self.end();
                Ok(json!({ "app": { "id": "gid://shopify/App/1" }, "userErrors": [] }))
            }
            "tagsAdd" => {
                self.require("tagsAdd", "write_orders")?;
                self.tags_add(&field.arguments)
            }
            "orderRiskAssessmentCreate" => {
                self.require("orderRiskAssessmentCreate", "write_orders")?;
                self.assess(&field.arguments)
            }
            "fulfillmentOrderHold" => {
                self.require("fulfillmentOrderHold", "write_merchant_managed_fulfillment_orders")?;
                self.hold(&field.arguments, next_hold)
            }
            "fulfillmentOrderReleaseHold" => {
                let scope = "write_merchant_managed_fulfillment_orders";
                self.require("fulfillmentOrderReleaseHold", scope)?;
                self.release(&field.arguments)
            }
            other => {
                Err(fault("INTERNAL_SERVER_ERROR", &format!("{other} is in the schema and not simulated")))
            }
        }
    }

    /// The app is uninstalled: nothing that was granted counts any more.
    fn end(&mut self) {
        self.installed = false;
        self.profile.access_token.clear();
        self.consent.revoke();
    }

    fn require(&self, field: &str, scope: &str) -> Result<(), Value> {
        let wider = scope.strip_prefix("read_").map(|rest| format!("write_{rest}"));
        let granted = self.profile.scopes.contains(scope)
            || wider.is_some_and(|wider| self.profile.scopes.contains(&wider));
        if granted {
            return Ok(());
        }
        let message = format!("Access denied for {field} field. Required access: `{scope}` access scope.");
        Err(fault("ACCESS_DENIED", &message))
    }

    /// The order an argument names; `None` where there is none, an error where it names something else.
    fn order(
        &mut self,
        arguments: &Map<String, Value>,
        name: &str,
    ) -> Result<Option<&mut SimulatedOrder>, Value> {
        let id = text(arguments, name);
        match number(id, "Order") {
            Some(number) => Ok(self.orders.get_mut(&number)),
            None => Err(fault("INVALID_GLOBAL_ID", &format!("Invalid global id '{id}'"))),
        }
    }

    fn describe(&self) -> Value {
        json!({
            "__typename": "Shop", "id": gid("Shop", self.profile.id), "name": self.profile.name,
            "email": self.profile.email, "contactEmail": self.profile.email, "myshopifyDomain": self.profile.domain,
            "currencyCode": "EUR", "ianaTimezone": "Europe/Berlin",
            "plan": { "publicDisplayName": "Basic", "partnerDevelopment": true },
            "primaryDomain": { "host": self.profile.domain }, "updatedAt": self.updated_at.to_rfc3339(),
        })
    }

    fn tags_add(&mut self, arguments: &Map<String, Value>) -> Resolved {
        let wanted: Vec<String> = arguments["tags"]
            .as_array()
            .into_iter()
            .flatten()
            // A list and a comma-separated text mean the same to Shopify.
            .flat_map(|tags| tags.as_str().unwrap_or_default().split(','))
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect();
        let refused = |field: &str, message: &str| {
            Ok(json!({ "node": null, "userErrors": [{ "field": [field], "message": message }] }))
        };
        let Some(order) = self.order(arguments, "id")? else {
            return refused("id", "Order does not exist");
        };
        if wanted.iter().any(|tag| tag.chars().count() > LONGEST_TAG) {
            return refused("tags", "Tags can't have more than 40 characters each");
        }
        let mut tags = order.tags.clone();
        for tag in wanted {
            if !tags.iter().any(|known| known.eq_ignore_ascii_case(&tag)) {
                tags.push(tag);
            }
        }
        if tags.len() > MOST_TAGS {
            return refused("tags", "Orders can't have more than 250 tags");
        }
        tags.sort();
        order.tags = tags;
        Ok(json!({ "node": describe_order(order), "userErrors": [] }))
    }

    fn assess(&mut self, arguments: &Map<String, Value>) -> Resolved {
        let Some(input) = arguments["orderRiskAssessmentInput"].as_object() else {
            return Err(fault("INTERNAL_SERVER_ERROR", "the input was checked to be an object"));
        };
        let refused = |code: &str, field: &str, message: &str| {
            let field = ["orderRiskAssessmentInput", field];
            let error = json!({ "code": code, "field": field, "message": message });
            Ok(json!({ "orderRiskAssessment": null, "userErrors": [error] }))
        };
        let facts: Vec<(String, String)> = input["facts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|fact| (member(fact, "description"), member(fact, "sentiment")))
            .collect();
        let risk_level = text(input, "riskLevel").to_owned();
        let Some(order) = self.order(input, "orderId")? else {
            return refused("NOT_FOUND", "orderId", "Order does not exist");
        };
        if order.fulfilled {
            return refused("ORDER_ALREADY_FULFILLED", "orderId", "The order is already fulfilled");
        }
        if facts.len() > MOST_FACTS {
            return refused("TOO_MANY_FACTS", "facts", "Too many facts: 20 at most");
        }
        if facts.iter().any(|(description, _)| description.chars().count() > LONGEST_FACT) {
            return refused("INVALID", "facts", "Descriptions can't have more than 256 characters");
        }
        let assessment = Assessment { risk_level, facts };
        let answer = describe_assessment(&assessment);
        order.assessments.push(assessment);
        Ok(json!({ "orderRiskAssessment": answer, "userErrors": [] }))
    }

    fn hold(&mut self, arguments: &Map<String, Value>, next_hold: u64) -> Resolved {
        let input = &arguments["fulfillmentHold"];
        let refused = |code: &str, field: &[&str], message: &str| {
            let error = json!({ "code": code, "field": field, "message": message });
            Ok(json!({ "fulfillmentHold": null, "fulfillmentOrder": null, "userErrors": [error] }))
        };
        let id = text(arguments, "id");
        let Some(number) = number(id, "FulfillmentOrder") else {
            return Err(fault("INVALID_GLOBAL_ID", &format!("Invalid global id '{id}'")));
        };
        let Some(order) = self.orders.get_mut(&number) else {
            return refused("FULFILLMENT_ORDER_NOT_FOUND", &["id"], "Fulfillment order does not exist");
        };
        // Shopify takes a hold without a handle for the app's one hold.
        let handle = member(input, "handle");
        if handle.chars().count() > LONGEST_HANDLE {
            let field = ["fulfillmentHold", "handle"];
            return refused("TOO_LONG", &field, "Handles can't have more than 64 characters");
        }
        if order.fulfilled {
            let message = "The fulfillment order is not in a state that can be held";
            return refused("UNPROCESSABLE_FULFILLMENT_ORDER", &["id"], message);
        }
        if order.holds.iter().any(|hold| hold.handle == handle) {
            let field = ["fulfillmentHold", "handle"];
            let message = "The handle is already used for a hold on this fulfillment order";
            return refused("DUPLICATE_FULFILLMENT_HOLD_HANDLE", &field, message);
        }
        if order.holds.len() >= MOST_HOLDS {
            let message = "The app has put as many holds on this fulfillment order as it can";
            return refused("FULFILLMENT_ORDER_HOLD_LIMIT_REACHED", &["id"], message);
        }
        let notes = input["reasonNotes"].as_str().map(str::to_owned);
        let hold = Hold { id: next_hold, handle, reason: member(input, "reason"), notes };
        let answer = describe_hold(&hold);
        order.holds.push(hold);
        Ok(json!({
            "fulfillmentHold": answer, "fulfillmentOrder": describe_fulfillment_order(order),
            "remainingFulfillmentOrder": null, "userErrors": [],
        }))
    }

    fn release(&mut self, arguments: &Map<String, Value>) -> Resolved {
        let id = text(arguments, "id");
        let Some(number) = number(id, "FulfillmentOrder") else {
            return Err(fault("INVALID_GLOBAL_ID", &format!("Invalid global id '{id}'")));
        };
        let Some(order) = self.orders.get_mut(&number) else {
            let message = "Fulfillment order does not exist";
            let error = json!({ "code": "FULFILLMENT_ORDER_NOT_FOUND", "field": ["id"], "message": message });
            return Ok(json!({ "fulfillmentOrder": null, "userErrors": [error] }));
        };
        match arguments.get("holdIds").and_then(Value::as_array) {
            Some(ids) => order.holds.retain(|hold| {
                let its = gid("FulfillmentHold", hold.id);
                !ids.iter().any(|id| id.as_str() == Some(its.as_str()))
            }),
            // Everybody's, as Shopify warns.
            None => order.holds.clear(),
        }
        Ok(json!({ "fulfillmentOrder": describe_fulfillment_order(order), "userErrors": [] }))
    }
}

fn describe_order(order: &SimulatedOrder) -> Value {
    let fulfillment_order = describe_fulfillment_order(order);
    let mut described = json!({
        "__typename": "Order", "id": order.gid(), "legacyResourceId": order.id.to_string(), "name": order.name,
        "createdAt": order.created_at.to_rfc3339(), "tags": order.tags,
        "risk": { "assessments": order.assessments.iter().map(describe_assessment).collect::<Vec<_>>() },
        "fulfillmentOrders": {
            "nodes": [fulfillment_order], "edges": [{ "cursor": "1", "node": fulfillment_order }],
            "pageInfo": { "hasNextPage": false, "hasPreviousPage": false, "startCursor": "1", "endCursor": "1" },
        },
    });
    orders::describe_contents(order, &mut described);
    described
}

fn describe_assessment(assessment: &Assessment) -> Value {
    let facts = assessment.facts.iter();
    let facts: Vec<Value> = facts
        .map(|(description, sentiment)| json!({ "description": description, "sentiment": sentiment }))
        .collect();
    json!({ "riskLevel": assessment.risk_level, "facts": facts })
}

fn describe_fulfillment_order(order: &SimulatedOrder) -> Value {
    let status = match (order.fulfilled, order.holds.is_empty()) {
        (true, _) => "CLOSED",
        (false, true) => "OPEN",
        (false, false) => "ON_HOLD",
    };
    json!({
        "__typename": "FulfillmentOrder", "id": gid("FulfillmentOrder", order.id), "status": status,
        "fulfillmentHolds": order.holds.iter().map(describe_hold).collect::<Vec<_>>(),
    })
}

fn describe_hold(hold: &Hold) -> Value {
    json!({
        "__typename": "FulfillmentHold", "id": gid("FulfillmentHold", hold.id), "handle": hold.handle,
        "reason": hold.reason, "reasonNotes": hold.notes, "heldByRequestingApp": true, "displayReason": hold.reason,
    })
}

fn gid(kind: &str, number: u64) -> String {
    format!("gid://shopify/{kind}/{number}")
}

/// The number in a global id of a kind.
fn number(id: &str, kind: &str) -> Option<u64> {
    id.strip_prefix("gid://shopify/")?.strip_prefix(kind)?.strip_prefix('/')?.parse().ok()
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn member(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn fault(code: &str, message: &str) -> Value {
    json!({ "message": message, "extensions": { "code": code } })
}

/// Query, operation name and variables of a JSON request body.
fn read(body: &[u8]) -> Option<(String, Option<String>, Map<String, Value>)> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let query = request["query"].as_str()?.to_owned();
    let operation_name = request["operationName"].as_str().map(str::to_owned);
    let variables = match &request["variables"] {
        Value::Null => Map::new(),
        Value::Object(variables) => variables.clone(),
        _ => return None,
    };
    Some((query, operation_name, variables))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storeward_core::time::ManualClock;

    use super::*;

    const DOMAIN: &str = "demo.myshopify.com";
    const TOKEN: &str = "shpat_local";

    fn demo() -> (ManualClock, Shopify) {
        let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
        let shopify = Shopify::new(Arc::new(clock.clone())).unwrap();
        shopify.install(SimulatedShop {
            domain: DOMAIN.to_owned(),
            id: 7,
            name: "Demo".to_owned(),
            email: "owner@example.com".to_owned(),
            access_token: TOKEN.to_owned(),
            scopes: ["write_orders", "write_merchant_managed_fulfillment_orders"].map(str::to_owned).into(),
        });
        assert!(shopify.add_order(DOMAIN, SimulatedOrder::new(9_007_199_254_740_993, "#1001", clock.now())));
        (clock, shopify)
    }

    fn ask(shopify: &Shopify, query: &str, variables: &Value) -> (u16, Value) {
        let body = Bytes::from(json!({ "query": query, "variables": variables }).to_string());
        let answer = shopify.answer(DOMAIN, API_VERSION, Some(TOKEN), &body);
        (answer.status.as_u16(), answer.body)
    }

    const ORDER: &str = "gid://shopify/Order/9007199254740993";
    const TAGS_ADD: &str = "mutation($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { node { id ... on Order { tags } } userErrors { field message } } }";

    #[test]
    fn given_a_query_when_answered_then_it_holds_what_was_selected_and_its_cost() {
        let (_, shopify) = demo();
        let query = "query Look($id: ID!) { it: order(id: $id) { ...Parts fulfillmentOrders(first: 5) { nodes { id status } } } shop { name } }
            fragment Parts on Order { __typename id name tags cancelledAt }";
        let (status, answer) = ask(&shopify, query, &json!({ "id": ORDER }));
        assert_eq!(status, 200);
        assert_eq!(
            answer["data"],
            json!({
                "it": {
                    "__typename": "Order", "id": ORDER, "name": "#1001", "tags": [], "cancelledAt": null,
                    "fulfillmentOrders": {
                        "nodes": [{ "id": "gid://shopify/FulfillmentOrder/9007199254740993", "status": "OPEN" }],
                    },
                },
                "shop": { "name": "Demo" },
            })
        );
        let cost = &answer["extensions"]["cost"];
        assert_eq!(
            (cost["requestedQueryCost"].as_u64(), cost["actualQueryCost"].as_u64()),
            (Some(9), Some(4))
        );
        assert_eq!(
            cost["throttleStatus"],
            json!({ "maximumAvailable": 2000, "currentlyAvailable": 1996, "restoreRate": 100 })
        );
    }

    #[test]
    fn given_tags_when_added_twice_then_the_order_has_them_once_whatever_their_case() {
        let (_, shopify) = demo();
        let variables = json!({ "id": ORDER, "tags": ["duplicate?", "Zebra"] });
        let (_, answer) = ask(&shopify, TAGS_ADD, &variables);
        assert_eq!(
            answer["data"]["tagsAdd"],
            json!({ "node": { "id": ORDER, "tags": ["Zebra", "duplicate?"] }, "userErrors": [] })
        );
        ask(&shopify, TAGS_ADD, &json!({ "id": ORDER, "tags": "ZEBRA" }));
        assert_eq!(shopify.orders(DOMAIN)[0].tags, ["Zebra", "duplicate?"]);
        let (_, answer) = ask(&shopify, TAGS_ADD, &json!({ "id": "gid://shopify/Order/1", "tags": [] }));
        assert_eq!(answer["data"]["tagsAdd"]["userErrors"][0]["field"], json!(["id"]));
    }

    #[test]
    fn given_a_risk_assessment_when_made_then_the_order_shows_it_and_limits_hold() {
        let (_, shopify) = demo();
        let query = "mutation($input: OrderRiskAssessmentCreateInput!) { orderRiskAssessmentCreate(orderRiskAssessmentInput: $input) {
            orderRiskAssessment { riskLevel facts { description sentiment } } userErrors { code } } }";
        let fact = |text: &str| json!({ "description": text, "sentiment": "NEGATIVE" });
        let input = |facts: Vec<Value>| json!({ "input": { "orderId": ORDER, "riskLevel": "MEDIUM", "facts": facts } });
        let (_, answer) = ask(&shopify, query, &input(vec![fact("Same address as #1000")]));
        assert_eq!(answer["data"]["orderRiskAssessmentCreate"]["userErrors"], json!([]));
        assert_eq!(shopify.orders(DOMAIN)[0].assessments[0].risk_level, "MEDIUM");
        let code =
            |answer: &Value| answer["data"]["orderRiskAssessmentCreate"]["userErrors"][0]["code"].clone();
        assert_eq!(code(&ask(&shopify, query, &input(vec![fact("x"); 21])).1), "TOO_MANY_FACTS");
        assert_eq!(code(&ask(&shopify, query, &input(vec![fact(&"x".repeat(257))])).1), "INVALID");
        let mut sent = shopify.orders(DOMAIN)[0].clone();
        sent.fulfilled = true;
        shopify.add_order(DOMAIN, sent);
        assert_eq!(code(&ask(&shopify, query, &input(vec![])).1), "ORDER_ALREADY_FULFILLED");
    }

    #[test]
    fn given_a_hold_when_made_then_the_same_handle_is_refused_the_second_time() {
        let (_, shopify) = demo();
        let query = "mutation($id: ID!, $hold: FulfillmentOrderHoldInput!) { fulfillmentOrderHold(id: $id, fulfillmentHold: $hold) {
            fulfillmentHold { id } fulfillmentOrder { status } userErrors { code message } } }";
        let variables = json!({
            "id": "gid://shopify/FulfillmentOrder/9007199254740993",
            "hold": { "reason": "OTHER", "reasonNotes": "Looks like #1000", "handle": "duplicate", "notifyMerchant": true },
        });
        let (_, answer) = ask(&shopify, query, &variables);
        assert_eq!(answer["data"]["fulfillmentOrderHold"]["fulfillmentOrder"]["status"], "ON_HOLD");
        let (_, answer) = ask(&shopify, query, &variables);
        let error = &answer["data"]["fulfillmentOrderHold"]["userErrors"][0];
        assert_eq!(error["code"], "DUPLICATE_FULFILLMENT_HOLD_HANDLE");
        assert_eq!(shopify.orders(DOMAIN)[0].holds.len(), 1);
        // And let go of by its id, which leaves the others.
        let query =
            "mutation($id: ID!, $holds: [ID!]) { fulfillmentOrderReleaseHold(id: $id, holdIds: $holds) {
            fulfillmentOrder { status } userErrors { code message } } }";
        let part = variables["id"].clone();
        let release = |holds: Value| ask(&shopify, query, &json!({ "id": part, "holds": holds })).1;
        release(json!(["gid://shopify/FulfillmentHold/4711"]));
        assert_eq!(shopify.orders(DOMAIN)[0].holds.len(), 1);
        let own = gid("FulfillmentHold", shopify.orders(DOMAIN)[0].holds[0].id);
        let answer = release(json!([own]));
        assert_eq!(answer["data"]["fulfillmentOrderReleaseHold"]["fulfillmentOrder"]["status"], "OPEN");
        assert!(shopify.orders(DOMAIN)[0].holds.is_empty());
    }

    #[test]
    fn given_an_empty_bucket_when_asked_then_it_is_throttled_until_the_clock_has_refilled_it() {
        let (clock, shopify) = demo();
        for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            shopify.set_throttling(Throttling { status, ..Throttling::default() });
            shopify.drain(DOMAIN);
            let (answered, refused) = ask(&shopify, TAGS_ADD, &json!({ "id": ORDER, "tags": ["late"] }));
            assert_eq!(answered, status.as_u16());
            assert_eq!(refused["errors"][0]["extensions"]["code"], "THROTTLED");
            assert_eq!(refused["extensions"]["cost"]["requestedQueryCost"], 10);
            assert!(shopify.orders(DOMAIN)[0].tags.is_empty(), "nothing was done");
            clock.advance(Duration::from_millis(100));
        }
        let (_, answer) = ask(&shopify, TAGS_ADD, &json!({ "id": ORDER, "tags": ["late"] }));
        assert_eq!(answer["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"], 0);
        let dear =
            "{ order(id: \"gid://shopify/Order/1\") { fulfillmentOrders(first: 2000) { nodes { id } } } }";
        assert_eq!(ask(&shopify, dear, &json!({})).1["errors"][0]["extensions"]["code"], "MAX_COST_EXCEEDED");
    }

    #[test]
    fn given_requests_shopify_would_not_take_when_sent_then_they_get_its_errors() {
        let (_, shopify) = demo();
        for (query, variables, code) in [
            ("{ order(id: $id) { id } }", json!({}), "argumentLiteralsIncompatible"),
            ("{ order { id } }", json!({}), "missingRequiredArguments"),
            ("{ order(id: \"x\", name: 1) { id } }", json!({}), "argumentNotAccepted"),
            ("{ order(id: \"x\") { note } }", json!({}), "undefinedField"),
            ("{ order(id: \"x\") }", json!({}), "selectionMismatch"),
            ("{ shop { name { first } } }", json!({}), "selectionMismatch"),
            ("{ shop { ...Missing } }", json!({}), "useAndDefineFragment"),
            ("{ shop { ...Round } } fragment Round on Shop { ...Round }", json!({}), "deeplyNested"),
            ("{ shop @twice { name } }", json!({}), "undefinedDirective"),
            ("{ order(", json!({}), "parseError"),
            ("query($id: ID!) { order(id: $id) { id } }", json!({}), "INVALID_VARIABLE"),
            (TAGS_ADD, json!({ "id": ORDER, "tags": [null] }), "INVALID_VARIABLE"),
            (TAGS_ADD, json!({ "id": true, "tags": [] }), "INVALID_VARIABLE"),
            ("{ order(id: \"1001\") { id } }", json!({}), "INVALID_GLOBAL_ID"),
        ] {
            let (status, answer) = ask(&shopify, query, &variables);
            assert_eq!(
                (status, answer["errors"][0]["extensions"]["code"].as_str()),
                (200, Some(code)),
                "{query}: {answer}"
            );
        }
        let risky = "mutation { orderRiskAssessmentCreate(orderRiskAssessmentInput: { orderId: \"x\", riskLevel: \"HIGH\", facts: [] }) { userErrors { code } } }";
        assert_eq!(
            ask(&shopify, risky, &json!({})).1["errors"][0]["extensions"]["code"],
            "argumentLiteralsIncompatible",
            "an enum is no string in a literal"
        );
    }

    #[tokio::test]
    async fn given_the_served_api_when_called_then_tokens_count_and_every_byte_is_remembered() {
        let (_, shopify) = demo();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = shopify.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let status = |shop: &'static str, version: &'static str, token: &'static str, body: &'static str| async move {
            let path = format!("/{shop}/admin/api/{version}/graphql.json");
            let headers = [("content-type", "application/json"), ("x-shopify-access-token", token)];
            crate::wire::send(port, "POST", &path, &headers, body).await.0
        };
        let query = r#"{"query":"{ shop { name } }"}"#;
        assert_eq!(status(DOMAIN, API_VERSION, TOKEN, query).await, 200);
        assert_eq!(status(DOMAIN, API_VERSION, "stolen", query).await, 401);
        assert_eq!(status(DOMAIN, "2019-01", TOKEN, query).await, 404);
        assert_eq!(status("other.myshopify.com", API_VERSION, TOKEN, query).await, 404);
        assert_eq!(status(DOMAIN, API_VERSION, TOKEN, "not json").await, 400);
        shopify.fail_next(StatusCode::BAD_GATEWAY);
        assert_eq!(status(DOMAIN, API_VERSION, TOKEN, query).await, 502);
        shopify.uninstall(DOMAIN);
        assert_eq!(status(DOMAIN, API_VERSION, TOKEN, query).await, 401);
        let calls = shopify.calls();
        assert_eq!(calls.len(), 7);
        assert_eq!(
            (calls[0].fields.as_slice(), calls[0].outcome.as_str()),
            (&["shop".to_owned()][..], "answered")
        );
        assert_eq!(calls[0].body, query);
    }
}
