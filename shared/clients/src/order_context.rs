//! The latest orders of a customer who wrote to the shop, as the Admin API tells them: what an answer needs to know of
//! them, and no more. The duplicate guard's records are not asked for this: they are kept for another purpose.

use serde::Deserialize;
use serde_json::json;
use storeward_core::data_map::Category;
use storeward_core::egress::{Outgoing, Use};
use storeward_core::normalize;
use storeward_core::personal::Personal;
use storeward_core::shop::ShopDomain;
use storeward_core::time::Timestamp;

use crate::error::ClientError;
use crate::http::object;
use crate::shopify::Shopify;

/// How many orders are asked for: whoever writes asks about one of the latest.
const ORDERS: u32 = 5;
/// What the query is expected to cost: 31 points for each order with its parcels.
const COST: f64 = 160.0;

const QUERY: &str = "query($first: Int!, $query: String!) { \
    orders(first: $first, query: $query, sortKey: CREATED_AT, reverse: true) { \
        nodes { name createdAt cancelledAt email displayFinancialStatus displayFulfillmentStatus returnStatus \
            totalPriceSet { shopMoney { amount currencyCode } } \
            customer { firstName lastName } \
            fulfillments(first: 3) { displayStatus estimatedDeliveryAt trackingInfo(first: 2) { company number url } } } } }";

/// An order, as far as an answer needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerOrder {
    /// What the customer calls it: `#1001`.
    pub name: Personal<String>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it was cancelled, if it was.
    pub cancelled_at: Option<Timestamp>,
    /// `PAID`, `REFUNDED` and so on (`OrderDisplayFinancialStatus`); empty where Shopify does not say.
    pub payment: String,
    /// `UNFULFILLED`, `FULFILLED` and so on (`OrderDisplayFulfillmentStatus`).
    pub fulfilment: String,
    /// `NO_RETURN`, `RETURN_REQUESTED` and so on (`OrderReturnStatus`).
    pub returns: String,
    /// The sum and its currency.
    pub total: Option<(Personal<String>, String)>,
    /// Names of the customer's account, given name first.
    pub customer: Vec<Personal<String>>,
    /// What was sent, the first parcels of it.
    pub parcels: Vec<Parcel>,
}

/// Something that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// `IN_TRANSIT`, `DELIVERED` and so on (`FulfillmentDisplayStatus`); empty where Shopify does not say.
    pub status: String,
    /// When it should arrive, where the carrier says.
    pub expected_at: Option<Timestamp>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number of it.
    pub number: Option<Personal<String>>,
    /// Where the customer can follow it.
    pub url: Option<Personal<String>>,
}

impl Shopify {
    /// The latest orders that were placed with an e-mail address (`orders`, scope `read_orders`), the latest first. Whoever
    /// writes from another address than they ordered with has none here: what is said of an order goes to whom it is for.
    ///
    /// # Errors
    /// `Unauthorized` after an uninstall or without the scope, else as Shopify answers.
    pub async fn orders_of_customer(
        &self,
        shop: &ShopDomain,
        token: &str,
        email: &Personal<String>,
    ) -> Result<Vec<CustomerOrder>, ClientError> {
        #[derive(Deserialize)]
        struct Data {
            orders: Nodes,
        }
        #[derive(Deserialize)]
        struct Nodes {
            nodes: Vec<Node>,
        }
        let Some(exact) = normalize::email(email.expose()) else { return Ok(Vec::new()) };
        let query = exact_email(exact.expose());
        let variables = object([
            ("first", Outgoing::own(json!(ORDERS))),
            ("query", Outgoing::about(Category::CustomerContact, json!(query))),
        ]);
        let data: Data = self.graphql(shop, token, Use::OrderContext, QUERY, variables, COST).await?;
        // Shopify's search compares words, not addresses: what was not placed with this very address is left out.
        let same = |node: &Node| {
            let placed_with = node.email.as_ref().and_then(|email| normalize::email(email.expose()));
            placed_with.as_ref() == Some(&exact)
        };
        Ok(data.orders.nodes.into_iter().filter(same).filter_map(Node::into_order).collect())
    }
}

/// The search for one address: in quotation marks, or its parts would be looked for one by one.
fn exact_email(email: &str) -> String {
    let quoted = email.replace('\\', "\\\\").replace('"', "\\\"");
    format!("email:\"{quoted}\"")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: Personal<String>,
    created_at: String,
    cancelled_at: Option<String>,
    email: Option<Personal<String>>,
    display_financial_status: Option<String>,
    display_fulfillment_status: Option<String>,
    return_status: Option<String>,
    total_price_set: Option<MoneyBag>,
    customer: Option<CustomerNode>,
    #[serde(default)]
    fulfillments: Vec<FulfilmentNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneyBag {
    shop_money: Money,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Money {
    amount: Personal<String>,
    currency_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerNode {
    first_name: Option<Personal<String>>,
    last_name: Option<Personal<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FulfilmentNode {
    display_status: Option<String>,
    estimated_delivery_at: Option<String>,
    tracking_info: Vec<TrackingNode>,
}

#[derive(Deserialize)]
struct TrackingNode {
    company: Option<String>,
    number: Option<Personal<String>>,
    url: Option<Personal<String>>,
}

impl Node {
    /// `None` when its time is none.
    fn into_order(self) -> Option<CustomerOrder> {
        let customer =
            self.customer.into_iter().flat_map(|customer| [customer.first_name, customer.last_name]);
        Some(CustomerOrder {
            name: self.name,
            placed_at: Timestamp::parse_rfc3339(&self.created_at)?,
            cancelled_at: self.cancelled_at.as_deref().and_then(Timestamp::parse_rfc3339),
            payment: self.display_financial_status.unwrap_or_default(),
            fulfilment: self.display_fulfillment_status.unwrap_or_default(),
            returns: self.return_status.unwrap_or_default(),
            total: self.total_price_set.map(|set| (set.shop_money.amount, set.shop_money.currency_code)),
            customer: customer.flatten().collect(),
            parcels: self.fulfillments.into_iter().flat_map(FulfilmentNode::into_parcels).collect(),
        })
    }
}

impl FulfilmentNode {
    /// A parcel for each number; one without a number where nothing can be followed.
    fn into_parcels(self) -> Vec<Parcel> {
        let status = self.display_status.unwrap_or_default();
        let expected_at = self.estimated_delivery_at.as_deref().and_then(Timestamp::parse_rfc3339);
        let parcel =
            |carrier, number, url| Parcel { status: status.clone(), expected_at, carrier, number, url };
        if self.tracking_info.is_empty() {
            return vec![parcel(None, None, None)];
        }
        self.tracking_info.into_iter().map(|info| parcel(info.company, info.number, info.url)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_widen_the_search() {
        assert_eq!(exact_email("a@example.com"), r#"email:"a@example.com""#);
        assert_eq!(exact_email(r#"a" OR name:*\@example.com"#), r#"email:"a\" OR name:*\\@example.com""#);
    }

    #[test]
    fn an_order_is_read_with_its_parcels_and_one_that_cannot_be_followed_is_one_too() {
        let node: Node = serde_json::from_value(json!({
            "name": "#1001", "createdAt": "2026-11-20T15:00:00Z", "cancelledAt": null, "email": "a@example.com",
            "displayFinancialStatus": "PAID", "displayFulfillmentStatus": "PARTIALLY_FULFILLED", "returnStatus": "NO_RETURN",
            "totalPriceSet": { "shopMoney": { "amount": "55.88", "currencyCode": "USD" } },
            "customer": { "firstName": "Sample", "lastName": null },
            "fulfillments": [
                { "displayStatus": "IN_TRANSIT", "estimatedDeliveryAt": "2026-11-25T00:00:00Z", "trackingInfo": [
                    { "company": "Sample Carrier", "number": "T1", "url": "https://example.com/t/T1" },
                    { "company": "Sample Carrier", "number": "T2", "url": null },
                ] },
                { "displayStatus": null, "estimatedDeliveryAt": null, "trackingInfo": [] },
            ],
        }))
        .unwrap();
        let order = node.into_order().unwrap();
        assert_eq!((order.name.expose().as_str(), order.customer.len()), ("#1001", 1));
        let numbers: Vec<Option<&str>> = order
            .parcels
            .iter()
            .map(|parcel| parcel.number.as_ref().map(|number| number.expose().as_str()))
            .collect();
        assert_eq!(numbers, [Some("T1"), Some("T2"), None]);
        assert_eq!(order.parcels[2].status, "");
    }
}
