//! Bodies of the webhooks that are not orders. The destructive ones accept exactly the keys of their topic:
//! only the body is signed, so a body captured from another topic must not pass here.

use serde::{Deserialize, Deserializer};

use crate::personal::Personal;
use crate::time::Timestamp;

/// `app/uninstalled`: a shop object, of which only the identity matters; both domains can be null, but they are
/// there: an order has an `id` too, and a captured order must not end an installation.
#[derive(Clone, Debug, Deserialize)]
pub struct AppUninstalled {
    /// Shopify's number of the shop: what tells a shop object from the compliance bodies, which say `shop_id`.
    pub id: u64,
    /// The public domain.
    #[serde(deserialize_with = "present")]
    pub domain: Option<String>,
    /// The permanent domain.
    #[serde(deserialize_with = "present")]
    pub myshopify_domain: Option<String>,
}

/// A value that may be null and may not be missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// `shop/redact`: 48 hours after the uninstall.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopRedact {
    /// Shopify's number of the shop.
    pub shop_id: u64,
    /// The permanent domain.
    pub shop_domain: String,
}

/// `customers/redact`: a person's data is to be erased.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomersRedact {
    /// Shopify's number of the shop.
    pub shop_id: u64,
    /// The permanent domain.
    pub shop_domain: String,
    /// Who: any of the three can be missing, an e-mail alone occurs.
    pub customer: RedactedCustomer,
    /// Orders that are to be erased whoever they seem to belong to.
    pub orders_to_redact: Vec<Personal<u64>>,
}

/// The person of a compliance webhook.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactedCustomer {
    /// Shopify's number of the customer.
    #[serde(default)]
    pub id: Option<Personal<u64>>,
    /// E-mail address.
    #[serde(default)]
    pub email: Option<Personal<String>>,
    /// Phone number.
    #[serde(default)]
    pub phone: Option<Personal<String>>,
}

/// `customers/data_request`: a person asked what is stored.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomersDataRequest {
    /// Shopify's number of the shop.
    pub shop_id: u64,
    /// The permanent domain.
    pub shop_domain: String,
    /// Who: any of the three can be missing.
    pub customer: RedactedCustomer,
    /// Orders that are asked for whoever they seem to belong to.
    pub orders_requested: Vec<Personal<u64>>,
    /// Shopify's number of the request.
    pub data_request: DataRequest,
}

/// Which request for access.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRequest {
    /// Shopify's number of it.
    pub id: u64,
}

/// `customers/update`: a customer's account as it is now, as far as orders name it. Its global id tells it from the other
/// bodies that have an `id` and an `email`, such as an order's.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomersUpdate {
    /// Shopify's number of the customer.
    pub id: Personal<u64>,
    /// The global id, checked to be a customer's.
    #[serde(rename = "admin_graphql_api_id", deserialize_with = "of_a_customer")]
    pub global_id: (),
    /// The account's address.
    #[serde(deserialize_with = "personal")]
    pub email: Option<Personal<String>>,
    /// The account's phone number.
    #[serde(deserialize_with = "personal")]
    pub phone: Option<Personal<String>>,
    /// Since when it is so.
    #[serde(deserialize_with = "crate::order::time")]
    pub updated_at: Timestamp,
}

fn of_a_customer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.strip_prefix("gid://shopify/Customer/");
    if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
        return Ok(());
    }
    Err(serde::de::Error::custom("a customer's global id"))
}

/// A personal value that may be null and may not be missing.
fn personal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Personal<String>>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::{AppUninstalled, CustomersDataRequest, CustomersRedact, CustomersUpdate, ShopRedact};

    const DATA_REQUEST: &str = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","orders_requested":[2],
        "customer":{"id":3,"email":"a@example.com","phone":null},"data_request":{"id":4}}"#;

    #[test]
    fn a_body_of_another_topic_is_not_a_destructive_one() {
        assert!(serde_json::from_str::<ShopRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<CustomersRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<ShopRedact>(r#"{"shop_id":1}"#).is_err());
        assert!(serde_json::from_str::<AppUninstalled>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<AppUninstalled>(r#"{"id":1,"created_at":"an order"}"#).is_err());
        let shop = r#"{"id":1,"domain":null,"myshopify_domain":null}"#;
        assert!(serde_json::from_str::<AppUninstalled>(shop).is_ok());
        assert!(serde_json::from_str::<CustomersDataRequest>(DATA_REQUEST).is_ok());
        let order = r#"{"id":1,"admin_graphql_api_id":"gid://shopify/Order/1","email":null,"phone":null,
            "updated_at":"2026-11-20T15:00:00Z"}"#;
        assert!(serde_json::from_str::<CustomersUpdate>(order).is_err());
        assert!(serde_json::from_str::<CustomersUpdate>(&order.replace("Order", "Customer")).is_ok());
        let twice = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","shop_domain":"b.myshopify.com"}"#;
        assert!(serde_json::from_str::<ShopRedact>(twice).is_err());
    }
}
