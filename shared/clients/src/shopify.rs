//! Shopify's Admin GraphQL API, version 2026-10: typed operations, and throttling that counts what a query costs
//! against what the shop's bucket has left, instead of running into the limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Outgoing, Register, Stance, Use};
use storeward_core::oauth::{Access, AccessToken, Refresh, Scopes};
use storeward_core::personal::Personal;
use storeward_core::shop::ShopDomain;
use storeward_core::time::{Clock, Timestamp};

use crate::error::ClientError;
use crate::http::{self, Call, Outside, object};

/// The version of the Admin API all operations are written for.
pub const API_VERSION: &str = "2026-10";

/// How often a throttled query is tried, and how long it waits each time at most. Whoever waits longer than that
/// is better off in a queue.
const TRIES: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A shop's bucket as its last answer told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThrottleStatus {
    maximum_available: f64,
    currently_available: f64,
    restore_rate: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    status: ThrottleStatus,
    at: Timestamp,
}

impl Bucket {
    /// How long until the bucket has `cost` points.
    fn wait(&self, cost: f64, now: Timestamp) -> Duration {
        let restored = now.since(self.at).as_secs_f64() * self.status.restore_rate;
        let available = (self.status.currently_available + restored).min(self.status.maximum_available);
        let missing = (cost.min(self.status.maximum_available) - available).max(0.0);
        Duration::try_from_secs_f64(missing / self.status.restore_rate.max(1.0)).unwrap_or(LONGEST_WAIT)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    requested_query_cost: f64,
    throttle_status: ThrottleStatus,
}

#[derive(Deserialize)]
struct Extensions {
    cost: Option<Cost>,
}

#[derive(Deserialize)]
struct GraphqlError {
    #[serde(default)]
    extensions: ErrorExtensions,
}

#[derive(Default, Deserialize)]
struct ErrorExtensions {
    code: Option<String>,
}

#[derive(Deserialize)]
struct GraphqlAnswer<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    user_errors: Vec<UserError>,
}

#[derive(Deserialize)]
struct UserError {
    code: Option<String>,
}

/// How long a shop is given to say whether the app is installed: whoever asks has seconds to answer somebody else.
const STANDING_WAIT: Duration = Duration::from_secs(2);

/// Whether the app is installed in a shop, as Shopify says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has access.
    Installed,
    /// It has none any more: an uninstall voids its tokens.
    Ended,
    /// The shop is closed and lets nobody in, so it cannot say.
    Closed,
    /// There is nothing to ask with.
    Unknown,
}

/// What the app names itself with when it asks for tokens.
#[derive(Clone, Copy)]
pub struct App<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// The client secret.
    pub client_secret: &'a str,
}

/// What a shop tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopFacts {
    /// Shopify's number of the shop.
    pub id: u64,
    /// Where platform mail goes.
    pub email: Option<Personal<String>>,
    /// The plan, as merchants see it.
    pub plan: Option<String>,
    /// The domain that customers know.
    pub public_domain: Option<String>,
    /// When any of it last changed.
    pub updated_at: Timestamp,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    scope: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    refresh_token_expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// A part of an order that is sent on its own.
#[derive(Clone, Debug)]
pub struct FulfilmentOrder {
    /// Its global id.
    pub id: Personal<String>,
    /// Whether something of it is still to be sent, so that it can be held.
    pub open: bool,
    /// What this app holds it with.
    pub holds: Vec<Hold>,
}

/// A hold of this app on a part of an order.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Its global id.
    pub id: String,
    /// The app's own name for it.
    pub handle: String,
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FulfilmentOrderNode {
    id: String,
    status: String,
    fulfillment_holds: Vec<HoldNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HoldNode {
    id: String,
    handle: Option<String>,
    held_by_requesting_app: bool,
}

impl From<FulfilmentOrderNode> for FulfilmentOrder {
    fn from(node: FulfilmentOrderNode) -> Self {
        let own = node.fulfillment_holds.into_iter().filter(|hold| hold.held_by_requesting_app);
        Self {
            id: node.id.into(),
            open: matches!(node.status.as_str(), "OPEN" | "SCHEDULED" | "ON_HOLD"),
            holds: own.filter_map(|hold| Some(Hold { id: hold.id, handle: hold.handle? })).collect(),
        }
    }
}

/// The client, for one merchant or for nobody in particular. All of a Lambda instance share every shop's bucket.
#[derive(Clone, Debug)]
pub struct Shopify {
    outside: Outside,
    endpoint: String,
    clock: Arc<dyn Clock>,
    buckets: Arc<Mutex<HashMap<ShopDomain, Bucket>>>,
}

/// What names an order or a part of it.
fn order_id(id: &Personal<String>) -> Outgoing<Value> {
    Outgoing::personal(Category::OrderMetadata, id).map(Value::String)
}

impl Shopify {
    /// A client for the Admin API at `endpoint`, in which `{shop}` stands for the shop's domain. What may be sent is in
    /// the register; the clock says since when.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(endpoint: &str, register: Register, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let outside = Outside::new(Processor::Shopify, register, Arc::clone(&clock))?;
        Ok(Self { outside, endpoint: endpoint.to_owned(), clock, buckets: Arc::default() })
    }

    /// The same client for a merchant, who was told of changes and may object.
    #[must_use]
    pub fn of(&self, stance: Stance) -> Self {
        Self { outside: self.outside.of(stance), ..self.clone() }
    }

    /// Exchanges the code of an OAuth callback for an expiring offline access. A code counts once.
    ///
    /// # Errors
    /// `Unauthorized` or `Rejected` when Shopify does not know the code (any more).
    pub async fn exchange_code(
        &self,
        shop: &ShopDomain,
        app: App<'_>,
        code: &str,
    ) -> Result<Access, ClientError> {
        self.ask_for_access(shop, app, json!({"code": code, "expiring": "1"})).await
    }

    /// Exchanges a session token for an expiring offline access: installed apps need no redirect for that.
    ///
    /// # Errors
    /// `Unauthorized` when the app is not installed or the token does not count, `Rejected` with Shopify's code.
    pub async fn exchange_session_token(
        &self,
        shop: &ShopDomain,
        app: App<'_>,
        session_token: &str,
    ) -> Result<Access, ClientError> {
        let request = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": session_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "requested_token_type": "urn:shopify:params:oauth:token-type:offline-access-token",
            "expiring": "1",
        });
        self.ask_for_access(shop, app, request).await
    }

    /// Renews an access: both tokens are replaced. Until the new refresh token is used, the old one can be used again
    /// (Shopify's changelog of 2026-08-28), so an answer that got lost is asked for again.
    ///
    /// # Errors
    /// `Unauthorized` when the refresh token does not count any more or the app was uninstalled, `Closed` where nobody is let
    /// in; all others say nothing about the token.
    pub async fn refresh(
        &self,
        shop: &ShopDomain,
        app: App<'_>,
        refresh_token: &AccessToken,
    ) -> Result<Access, ClientError> {
        let request = json!({"grant_type": "refresh_token", "refresh_token": refresh_token.expose()});
        self.ask_for_access(shop, app, request).await
    }

    async fn ask_for_access(
        &self,
        shop: &ShopDomain,
        app: App<'_>,
        mut request: Value,
    ) -> Result<Access, ClientError> {
        // What is granted counts from the answer at the latest: from before the question is on the safe side.
        let asked_at = self.clock.now();
        request["client_id"] = json!(app.client_id);
        request["client_secret"] = json!(app.client_secret);
        let call = Call {
            purpose: Use::Access,
            url: self.url(shop, "/admin/oauth/access_token"),
            headers: vec![("accept", Outgoing::text("application/json"))],
            // The merchant's tokens and codes.
            body: Outgoing::about(Category::MerchantAccount, request),
            timeout: None,
        };
        let response = self.outside.post(call).await?;
        let status = response.status().as_u16();
        if matches!(status, 400 | 401) {
            let refused: Option<Refused> = response.json().await.ok();
            return Err(refusal(status, refused.as_ref().map(|refused| refused.error.as_str())));
        }
        if status == 403 {
            // The address that calls is not on the app's list: the token may be as good as ever.
            return Err(ClientError::Rejected("status 403".to_owned()));
        }
        if let Some(error) = closed(status).or_else(|| http::status_error(&response)) {
            return Err(error);
        }
        let granted: Granted = response.json().await.map_err(|error| http::transport_error(&error))?;
        if granted.access_token.is_empty() {
            return Err(ClientError::Unavailable("an answer without a token".to_owned()));
        }
        let end = |seconds: u64| asked_at + Duration::from_secs(seconds);
        let refresh = granted
            .refresh_token
            .zip(granted.refresh_token_expires_in)
            .map(|(token, seconds)| Refresh { token: AccessToken::new(token), expires_at: end(seconds) });
        Ok(Access {
            token: AccessToken::new(granted.access_token),
            expires_at: granted.expires_in.map(end),
            refresh,
            scopes: Scopes::parse(&granted.scope),
            scopes_at: asked_at,
        })
    }

    /// Asks a shop about itself. Needs no scope.
    ///
    /// # Errors
    /// As Shopify answers.
    pub async fn shop(&self, shop: &ShopDomain, token: &str) -> Result<ShopFacts, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shop {
            id: String,
            email: Option<Personal<String>>,
            plan: Option<Plan>,
            primary_domain: Option<Domain>,
            updated_at: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Plan {
            public_display_name: String,
        }
        #[derive(Deserialize)]
        struct Domain {
            host: String,
        }
        #[derive(Deserialize)]
        struct Data {
            shop: Shop,
        }
        const QUERY: &str =
            "query { shop { id email plan { publicDisplayName } primaryDomain { host } updatedAt } }";
        let Data { shop } = self.graphql(shop, token, Use::Reading, QUERY, object([]), 5.0).await?;
        let unusable = || ClientError::Unavailable("a shop that cannot be read".to_owned());
        let id = shop.id.strip_prefix("gid://shopify/Shop/").and_then(|id| id.parse().ok());
        Ok(ShopFacts {
            id: id.ok_or_else(unusable)?,
            email: shop.email,
            plan: shop.plan.map(|plan| plan.public_display_name),
            public_domain: shop.primary_domain.map(|domain| domain.host),
            updated_at: Timestamp::parse_rfc3339(&shop.updated_at).ok_or_else(unusable)?,
        })
    }

    /// Whether a token that should count does. Asks once, by the cheapest question there is (two points, no scope), and
    /// waits two seconds at most.
    ///
    /// # Errors
    /// Everything that says nothing about the token: throttled, no answer, or a refusal of the address that calls (403).
    pub async fn standing(&self, shop: &ShopDomain, token: &str) -> Result<Standing, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Option<Data>,
        }
        #[derive(Deserialize)]
        struct Data {
            shop: Option<Shop>,
        }
        #[derive(Deserialize)]
        struct Shop {
            #[serde(rename = "id")]
            _id: String,
        }
        let body = Outgoing::own(json!({"query": "query { shop { id } }"}));
        let mut call = self.graphql_call(shop, token, Use::Access, body);
        call.timeout = Some(STANDING_WAIT);
        let response = self.outside.post(call).await?;
        match response.status().as_u16() {
            401 => return Ok(Standing::Ended),
            status if closed(status).is_some() => return Ok(Standing::Closed),
            403 => return Err(ClientError::Rejected("status 403".to_owned())),
            _ => {}
        }
        if let Some(error) = http::status_error(&response) {
            return Err(error);
        }
        let answer: Answer = response.json().await.map_err(|error| http::transport_error(&error))?;
        match answer.data.and_then(|data| data.shop) {
            Some(_) => Ok(Standing::Installed),
            // Throttled is told with status 200, too.
            None => Err(ClientError::Unavailable("an answer without a shop".to_owned())),
        }
    }

    /// Uninstalls the app from the shop (`appUninstall`): its tokens, webhooks and links end at Shopify.
    ///
    /// # Errors
    /// `Unauthorized` when it was uninstalled before, or is refused for another reason, which [`Shopify::standing`] tells apart;
    /// `Closed` where nobody is let in, `Rejected` with Shopify's code, else as Shopify answers.
    pub async fn uninstall(&self, shop: &ShopDomain, token: &str) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            app_uninstall: Option<Changed>,
        }
        const QUERY: &str = "mutation { appUninstall { userErrors { code field message } } }";
        let data: Data = self.graphql(shop, token, Use::Access, QUERY, object([]), 10.0).await?;
        accepted(data.app_uninstall)
    }

    /// Adds tags to an order (`tagsAdd`); tags that it has already stay as they are, so repeating is harmless.
    ///
    /// # Errors
    /// `Unauthorized` after an uninstall, `Rejected` when the order is unknown, else as Shopify answers.
    pub async fn tags_add(
        &self,
        shop: &ShopDomain,
        token: &str,
        order: &Personal<String>,
        tags: &[&'static str],
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            tags_add: Option<Changed>,
        }
        const QUERY: &str = "mutation($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { userErrors { field message } } }";
        let variables = object([("id", order_id(order)), ("tags", Outgoing::own(json!(tags)))]);
        let data: Data = self.graphql(shop, token, Use::Flagging, QUERY, variables, 10.0).await?;
        accepted(data.tags_add)
    }

    /// Attaches facts to an order's risk assessment (`orderRiskAssessmentCreate`): at most 20, of 256 characters each.
    ///
    /// # Errors
    /// `Rejected` with Shopify's code, such as `ORDER_ALREADY_FULFILLED`, else as Shopify answers.
    pub async fn risk_facts(
        &self,
        shop: &ShopDomain,
        token: &str,
        order: &Personal<String>,
        facts: &[Outgoing<String>],
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            order_risk_assessment_create: Option<Changed>,
        }
        const QUERY: &str = "mutation($input: OrderRiskAssessmentCreateInput!) { \
            orderRiskAssessmentCreate(orderRiskAssessmentInput: $input) { userErrors { code field message } } }";
        let described = |fact: String| json!({"description": fact.chars().take(256).collect::<String>(), "sentiment": "NEGATIVE"});
        let facts = Outgoing::all(facts.iter().take(20).map(|fact| fact.clone().map(described)));
        let input = object([
            ("orderId", order_id(order)),
            ("riskLevel", Outgoing::own(json!("MEDIUM"))),
            ("facts", facts.map(Value::Array)),
        ]);
        let variables = object([("input", input)]);
        let data: Data = self.graphql(shop, token, Use::Flagging, QUERY, variables, 10.0).await?;
        accepted(data.order_risk_assessment_create)
    }

    /// The facts that the order's risk assessments tell already, this app's and others'. None for an unknown order.
    ///
    /// # Errors
    /// As Shopify answers.
    pub async fn known_facts(
        &self,
        shop: &ShopDomain,
        token: &str,
        order: &Personal<String>,
    ) -> Result<Vec<String>, ClientError> {
        #[derive(Deserialize)]
        struct Data {
            order: Option<Order>,
        }
        #[derive(Deserialize)]
        struct Order {
            risk: Risk,
        }
        #[derive(Deserialize)]
        struct Risk {
            assessments: Vec<Assessment>,
        }
        #[derive(Deserialize)]
        struct Assessment {
            facts: Vec<Fact>,
        }
        #[derive(Deserialize)]
        struct Fact {
            description: String,
        }
        const QUERY: &str =
            "query($id: ID!) { order(id: $id) { risk { assessments { facts { description } } } } }";
        let data: Data =
            self.graphql(shop, token, Use::Flagging, QUERY, object([("id", order_id(order))]), 10.0).await?;
        let assessments = data.order.map(|order| order.risk.assessments).unwrap_or_default();
        Ok(assessments.into_iter().flat_map(|of| of.facts).map(|fact| fact.description).collect())
    }

    /// The parts of an order, and what this app holds them with. None for an unknown order.
    ///
    /// # Errors
    /// As Shopify answers.
    pub async fn fulfilment_orders(
        &self,
        shop: &ShopDomain,
        token: &str,
        order: &Personal<String>,
    ) -> Result<Vec<FulfilmentOrder>, ClientError> {
        #[derive(Deserialize)]
        struct Data {
            order: Option<Order>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Order {
            fulfillment_orders: Nodes<FulfilmentOrderNode>,
        }
        // An order has a part for each place it is sent from: more than 20 are not seen in practice.
        const QUERY: &str = "query($id: ID!) { order(id: $id) { fulfillmentOrders(first: 20) { nodes { \
            id status fulfillmentHolds { id handle heldByRequestingApp } } } } }";
        let data: Data =
            self.graphql(shop, token, Use::Flagging, QUERY, object([("id", order_id(order))]), 20.0).await?;
        let found = data.order.map(|order| order.fulfillment_orders.nodes).unwrap_or_default();
        Ok(found.into_iter().map(FulfilmentOrder::from).collect())
    }

    /// Holds a part of an order (`fulfillmentOrderHold`) under a name of the app's, of at most 64 characters. A hold of
    /// that name that is there already is the one that was asked for.
    ///
    /// # Errors
    /// `Unauthorized` without the scope, `Rejected` with Shopify's code when the part cannot be held (any more), else as
    /// Shopify answers.
    pub async fn hold(
        &self,
        shop: &ShopDomain,
        token: &str,
        part: &Personal<String>,
        handle: &Outgoing<String>,
        notes: &Outgoing<String>,
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            fulfillment_order_hold: Option<Changed>,
        }
        const QUERY: &str = "mutation($id: ID!, $hold: FulfillmentOrderHoldInput!) { \
            fulfillmentOrderHold(id: $id, fulfillmentHold: $hold) { userErrors { code field message } } }";
        let hold = object([
            ("reason", Outgoing::own(json!("OTHER"))),
            ("reasonNotes", notes.clone().map(Value::String)),
            ("handle", handle.clone().map(Value::String)),
        ]);
        let variables = object([("id", order_id(part)), ("hold", hold)]);
        let data: Data = self.graphql(shop, token, Use::Flagging, QUERY, variables, 10.0).await?;
        match accepted(data.fulfillment_order_hold) {
            Err(ClientError::Rejected(code)) if code == "DUPLICATE_FULFILLMENT_HOLD_HANDLE" => Ok(()),
            other => other,
        }
    }

    /// Lets go of these holds and of no other (`fulfillmentOrderReleaseHold`).
    ///
    /// # Errors
    /// `Unauthorized` without the scope, `Rejected` when they cannot be let go, else as Shopify answers.
    pub async fn release_holds(
        &self,
        shop: &ShopDomain,
        token: &str,
        part: &Personal<String>,
        holds: &[&str],
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            fulfillment_order_release_hold: Option<Changed>,
        }
        const QUERY: &str = "mutation($id: ID!, $holds: [ID!]) { \
            fulfillmentOrderReleaseHold(id: $id, holdIds: $holds) { userErrors { code field message } } }";
        // Without ids, Shopify lets go of everybody's holds.
        if holds.is_empty() {
            return Ok(());
        }
        let variables = object([("id", order_id(part)), ("holds", Outgoing::own(json!(holds)))]);
        let data: Data = self.graphql(shop, token, Use::Flagging, QUERY, variables, 10.0).await?;
        accepted(data.fulfillment_order_release_hold)
    }

    /// Sends one query. `cost` is what it is expected to cost, in points: with less in the bucket, it waits first.
    pub(crate) async fn graphql<T: DeserializeOwned>(
        &self,
        shop: &ShopDomain,
        token: &str,
        purpose: Use,
        query: &'static str,
        variables: Outgoing<Value>,
        cost: f64,
    ) -> Result<T, ClientError> {
        let body = object([("query", Outgoing::own(json!(query))), ("variables", variables)]);
        let mut expected = cost;
        for attempt in 1..=TRIES {
            let wait = self.buckets().get(shop).map(|bucket| bucket.wait(expected, self.clock.now()));
            self.pause(wait.unwrap_or_default()).await?;
            let response = self.outside.post(self.graphql_call(shop, token, purpose, body.clone())).await?;
            // A throttled query is answered with 429 or with 200: both carry the bucket.
            let status = response.status().as_u16();
            if status != 429
                && let Some(error) = closed(status).or_else(|| http::status_error(&response))
            {
                return Err(error);
            }
            let answer: GraphqlAnswer<T> =
                response.json().await.map_err(|error| http::transport_error(&error))?;
            if let Some(cost) = answer.extensions.and_then(|extensions| extensions.cost) {
                expected = cost.requested_query_cost;
                let bucket = Bucket { status: cost.throttle_status, at: self.clock.now() };
                self.buckets().insert(shop.clone(), bucket);
            }
            let codes: Vec<&str> = answer
                .errors
                .iter()
                .map(|error| error.extensions.code.as_deref().unwrap_or("ERROR"))
                .collect();
            if codes.contains(&"THROTTLED") {
                tracing::debug!(attempt, "throttled by Shopify");
                continue;
            }
            if let Some(code) = codes.first() {
                return Err(match *code {
                    "ACCESS_DENIED" => ClientError::Unauthorized,
                    "INTERNAL_SERVER_ERROR" => ClientError::Unavailable("INTERNAL_SERVER_ERROR".to_owned()),
                    code => ClientError::Rejected(code.to_owned()),
                });
            }
            return answer.data.ok_or_else(|| ClientError::Unavailable("an answer without data".to_owned()));
        }
        let wait = self.buckets().get(shop).map(|bucket| bucket.wait(expected, self.clock.now()));
        Err(ClientError::Throttled(wait.unwrap_or(LONGEST_WAIT)))
    }

    fn url(&self, shop: &ShopDomain, path: &str) -> Outgoing<String> {
        let url = format!("{}{path}", self.endpoint.replace("{shop}", shop.as_str()));
        Outgoing::about(Category::MerchantAccount, url)
    }

    fn graphql_call(&self, shop: &ShopDomain, token: &str, purpose: Use, body: Outgoing<Value>) -> Call {
        let token = Outgoing::about(Category::MerchantAccount, token.to_owned());
        Call {
            purpose,
            url: self.url(shop, &format!("/admin/api/{API_VERSION}/graphql.json")),
            headers: vec![("x-shopify-access-token", token)],
            body,
            timeout: None,
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), ClientError> {
        if wait > LONGEST_WAIT {
            return Err(ClientError::Throttled(wait));
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn buckets(&self) -> std::sync::MutexGuard<'_, HashMap<ShopDomain, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a status says that nobody gets in, whatever the token: not paid for, gone, or locked.
fn closed(status: u16) -> Option<ClientError> {
    matches!(status, 402 | 404 | 423).then_some(ClientError::Closed)
}

/// What a refusal of tokens means. That Shopify does not know the *app* says nothing about a shop's consent.
fn refusal(status: u16, code: Option<&str>) -> ClientError {
    let plain = |code: &&str| code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let code = code.filter(plain);
    match (status, code) {
        (_, Some(code @ ("invalid_client" | "application_cannot_be_found" | "unauthorized_client"))) => {
            ClientError::Rejected(code.to_owned())
        }
        (401, _) | (_, Some("invalid_grant" | "invalid_subject_token")) => ClientError::Unauthorized,
        (_, Some(code)) => ClientError::Rejected(code.to_owned()),
        (status, None) => ClientError::Rejected(format!("status {status}")),
    }
}

fn accepted(changed: Option<Changed>) -> Result<(), ClientError> {
    let changed = changed.ok_or_else(|| ClientError::Rejected("NOT_FOUND".to_owned()))?;
    match changed.user_errors.into_iter().next() {
        None => Ok(()),
        Some(error) => Err(ClientError::Rejected(error.code.unwrap_or_else(|| "USER_ERROR".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_waits_for_what_the_bucket_lacks_and_no_longer() {
        let status = ThrottleStatus { maximum_available: 100.0, currently_available: 4.0, restore_rate: 2.0 };
        let bucket = Bucket { status, at: Timestamp(0) };
        assert_eq!(bucket.wait(4.0, Timestamp(0)), Duration::ZERO);
        assert_eq!(bucket.wait(10.0, Timestamp(0)), Duration::from_secs(3));
        assert_eq!(bucket.wait(10.0, Timestamp(1000)), Duration::from_secs(2));
        assert_eq!(
            bucket.wait(1_000.0, Timestamp(0)),
            Duration::from_secs(48),
            "never more than the bucket holds"
        );
    }
}
