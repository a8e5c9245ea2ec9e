//! The orders of a shop that changed since a time, as the Admin API tells them: for whoever missed the webhooks. An order
//! becomes the same `Order` that a webhook makes, as far as the API tells the same.

use serde::Deserialize;
use serde_json::json;
use storeward_core::egress::{Outgoing, Use};
use storeward_core::order::{Address, Customer, Order};
use storeward_core::personal::Personal;
use storeward_core::shop::ShopDomain;
use storeward_core::time::Timestamp;

use crate::error::ClientError;
use crate::shopify::Shopify;

/// How many orders a page has. The query may cost nine points for each, of the 1,000 that one query can.
const PAGE: u32 = 50;
const PAGE_COST: f64 = 460.0;

const QUERY: &str = "query($first: Int!, $after: String, $query: String!) { \
    orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) { \
        pageInfo { hasNextPage endCursor } \
        nodes { legacyResourceId name createdAt updatedAt cancelledAt test email phone displayFulfillmentStatus sourceName \
            totalPriceSet { shopMoney { amount currencyCode } } \
            customer { legacyResourceId defaultEmailAddress { emailAddress } defaultPhoneNumber { phoneNumber } } \
            billingAddress { ...Parts } shippingAddress { ...Parts } } } } \
    fragment Parts on MailingAddress { \
        firstName lastName address1 address2 city provinceCode zip countryCodeV2 phone }";

/// A page of orders, those that changed first first.
#[derive(Debug)]
pub struct ChangedOrders {
    /// The orders that could be read.
    pub orders: Vec<Order>,
    /// How many could not.
    pub unreadable: usize,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<String>,
}

impl Shopify {
    /// Orders that changed at `since` or later (`orders`, scope `read_orders`). Without the scope `read_all_orders`
    /// Shopify tells of the last 60 days alone: no longer than orders are kept.
    ///
    /// # Errors
    /// `Unauthorized` after an uninstall or without the scope, else as Shopify answers.
    pub async fn orders_changed_since(
        &self,
        shop: &ShopDomain,
        token: &str,
        since: Timestamp,
        after: Option<&str>,
    ) -> Result<ChangedOrders, ClientError> {
        #[derive(Deserialize)]
        struct Data {
            orders: Connection,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Connection {
            page_info: PageInfo,
            nodes: Vec<serde_json::Value>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PageInfo {
            has_next_page: bool,
            end_cursor: Option<String>,
        }
        // Whole seconds, as Shopify counts: the fraction would leave out what changed in the same second.
        let since = Timestamp::from_seconds(since.seconds()).to_rfc3339();
        // The cursor is Shopify's own.
        let variables =
            Outgoing::own(json!({"first": PAGE, "after": after, "query": format!("updated_at:>='{since}'")}));
        let data: Data = self.graphql(shop, token, Use::Reading, QUERY, variables, PAGE_COST).await?;
        let told = data.orders.nodes.len();
        let orders: Vec<Order> = data.orders.nodes.into_iter().filter_map(order_of).collect();
        let page = data.orders.page_info;
        Ok(ChangedOrders {
            unreadable: told - orders.len(),
            orders,
            next: page.end_cursor.filter(|_| page.has_next_page),
        })
    }
}

/// The order that a node of the Admin API tells of; `None` when it cannot be read.
#[must_use]
pub fn order_of(node: serde_json::Value) -> Option<Order> {
    serde_json::from_value::<Node>(node).ok().and_then(Node::into_order)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    legacy_resource_id: String,
    name: Option<Personal<String>>,
    created_at: String,
    updated_at: String,
    cancelled_at: Option<String>,
    test: bool,
    email: Option<Personal<String>>,
    phone: Option<Personal<String>>,
    display_fulfillment_status: Option<String>,
    source_name: Option<Personal<String>>,
    total_price_set: Option<MoneyBag>,
    customer: Option<CustomerNode>,
    billing_address: Option<AddressNode>,
    shipping_address: Option<AddressNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneyBag {
    shop_money: Money,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Money {
    amount: String,
    currency_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerNode {
    legacy_resource_id: String,
    default_email_address: Option<EmailNode>,
    default_phone_number: Option<PhoneNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmailNode {
    email_address: Option<Personal<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhoneNode {
    phone_number: Option<Personal<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressNode {
    first_name: Option<Personal<String>>,
    last_name: Option<Personal<String>>,
    address1: Option<Personal<String>>,
    address2: Option<Personal<String>>,
    city: Option<Personal<String>>,
    province_code: Option<Personal<String>>,
    zip: Option<Personal<String>>,
    country_code_v2: Option<Personal<String>>,
    phone: Option<Personal<String>>,
}

impl Node {
    /// `None` when a number or a time is not one.
    fn into_order(self) -> Option<Order> {
        let cancelled_at = match self.cancelled_at {
            None => None,
            Some(text) => Some(Timestamp::parse_rfc3339(&text)?),
        };
        let total = self.total_price_set.map(|set| set.shop_money);
        Some(Order {
            id: self.legacy_resource_id.parse::<u64>().ok()?.into(),
            name: self.name,
            created_at: Timestamp::parse_rfc3339(&self.created_at)?,
            updated_at: Some(Timestamp::parse_rfc3339(&self.updated_at)?),
            cancelled_at,
            fulfilled: self.display_fulfillment_status.as_deref() == Some("FULFILLED"),
            test: self.test,
            // The API has one address where the webhook has two that are nearly always the same.
            contact_email: self.email.clone(),
            email: self.email,
            phone: self.phone,
            customer: self.customer.map(|customer| Customer {
                id: customer.legacy_resource_id.parse::<u64>().ok().map(Personal::new),
                email: customer.default_email_address.and_then(|email| email.email_address),
                phone: customer.default_phone_number.and_then(|phone| phone.phone_number),
            }),
            billing_address: self.billing_address.map(Into::into),
            shipping_address: self.shipping_address.map(Into::into),
            currency: total.as_ref().map(|money| money.currency_code.clone()),
            total_price: total.map(|money| as_webhooks_write(money.amount)),
            // What was bought would cost more points than all the rest; a cart that is not known says nothing.
            line_items: Vec::new(),
            checkout_token: None,
            source_name: self.source_name,
        })
    }
}

impl From<AddressNode> for Address {
    fn from(node: AddressNode) -> Self {
        Self {
            first_name: node.first_name,
            last_name: node.last_name,
            address1: node.address1,
            address2: node.address2,
            city: node.city,
            province_code: node.province_code,
            zip: node.zip,
            country_code: node.country_code_v2,
            phone: node.phone,
        }
    }
}

/// The API writes `55.0` where webhooks write `55.00`.
fn as_webhooks_write(amount: String) -> String {
    match amount.split_once('.') {
        Some((_, fraction)) if fraction.len() == 1 => amount + "0",
        _ => amount,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_back_whatever_is_withheld_and_what_is_no_order_is_none() {
        let node = json!({
            "legacyResourceId": "9007199254740993", "name": "#1", "createdAt": "2026-11-20T15:00:00Z",
            "updatedAt": "2026-11-20T16:00:00Z", "cancelledAt": null, "test": false, "email": null, "phone": null,
            "displayFulfillmentStatus": "FULFILLED", "sourceName": null, "totalPriceSet": {"shopMoney": {"amount": "55.0", "currencyCode": "USD"}},
            "customer": null, "billingAddress": null, "shippingAddress": null,
        });
        let order = serde_json::from_value::<Node>(node.clone()).unwrap().into_order().unwrap();
        assert_eq!(*order.id.expose(), 9_007_199_254_740_993);
        assert_eq!((order.fulfilled, order.total_price.as_deref()), (true, Some("55.00")));
        let mut odd = node;
        odd["cancelledAt"] = json!("yesterday");
        assert!(serde_json::from_value::<Node>(odd).unwrap().into_order().is_none());
    }
}
