//! Bodies of the webhooks that are not orders. The destructive ones accept exactly the keys of their topic:
//! only the body is signed, so a body captured from another topic must not pass here.

use serde::de::Error as _;
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

/// `app/scopes_update`: what the merchant grants has changed.
#[derive(Clone, Debug, Deserialize)]
pub struct AppScopesUpdate {
    /// Shopify's number of the shop, from its global id.
    #[serde(deserialize_with = "number_of_shop")]
    pub shop_id: u64,
    /// The scopes that are granted now.
    pub current: Vec<String>,
    /// When it changed.
    #[serde(deserialize_with = "time")]
    pub updated_at: Timestamp,
}

/// `shop/update`: the shop as it is now, of which this much is kept.
#[derive(Clone, Debug, Deserialize)]
pub struct ShopUpdate {
    /// Shopify's number of the shop.
    pub id: u64,
    /// The permanent domain.
    pub myshopify_domain: String,
    /// The public domain.
    pub domain: Option<String>,
    /// Where platform mail goes.
    pub email: Option<Personal<String>>,
    /// The plan, as merchants see it.
    pub plan_display_name: Option<String>,
    /// When any of it changed.
    #[serde(deserialize_with = "time")]
    pub updated_at: Timestamp,
}

/// The number in `gid://shopify/Shop/…`.
fn number_of_shop<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let id = String::deserialize(deserializer)?;
    let number = id.strip_prefix("gid://shopify/Shop/").and_then(|number| number.parse().ok());
    number.ok_or_else(|| D::Error::custom("no global id of a shop"))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("no RFC 3339 time"))
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

#[cfg(test)]
mod tests {
    use super::{AppScopesUpdate, AppUninstalled, CustomersRedact, ShopRedact, ShopUpdate};

    const DATA_REQUEST: &str = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","orders_requested":[2],
        "customer":{"id":3,"email":"a@example.com","phone":null},"data_request":{"id":4}}"#;

    #[test]
    fn a_shop_and_its_scopes_are_read_and_nothing_else_is_taken_for_them() {
        let scopes = r#"{"id":1,"shop_id":"gid://shopify/Shop/9007199254740993","previous":["read_orders"],
            "current":[],"updated_at":"2026-11-20T15:00:00Z"}"#;
        let read: AppScopesUpdate = serde_json::from_str(scopes).unwrap();
        assert_eq!((read.shop_id, read.current.len()), (9_007_199_254_740_993, 0));
        for wrong in ["gid://shopify/Order/1", "gid://shopify/Shop/", "gid://shopify/Shop/-1", "1"] {
            let body = scopes.replace("gid://shopify/Shop/9007199254740993", wrong);
            assert!(serde_json::from_str::<AppScopesUpdate>(&body).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<AppScopesUpdate>(&scopes.replace("2026-11-20T", "")).is_err());
        let shop = r#"{"id":1,"myshopify_domain":"a.myshopify.com","domain":null,"email":null,"plan_display_name":null,
            "updated_at":"2026-11-20T10:00:00-05:00"}"#;
        assert!(serde_json::from_str::<ShopUpdate>(shop).unwrap().email.is_none());
        assert!(serde_json::from_str::<ShopUpdate>(DATA_REQUEST).is_err());
    }

    #[test]
    fn a_body_of_another_topic_is_not_a_destructive_one() {
        assert!(serde_json::from_str::<ShopRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<CustomersRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<ShopRedact>(r#"{"shop_id":1}"#).is_err());
        assert!(serde_json::from_str::<AppUninstalled>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<AppUninstalled>(r#"{"id":1,"created_at":"an order"}"#).is_err());
        let shop = r#"{"id":1,"domain":null,"myshopify_domain":null}"#;
        assert!(serde_json::from_str::<AppUninstalled>(shop).is_ok());
        let twice = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","shop_domain":"b.myshopify.com"}"#;
        assert!(serde_json::from_str::<ShopRedact>(twice).is_err());
    }
}
