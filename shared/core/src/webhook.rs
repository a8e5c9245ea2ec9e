//! Bodies of the webhooks that are not orders. The destructive ones accept exactly the keys of their topic:
//! only the body is signed, so a body captured from another topic must not pass here.

use serde::Deserialize;

use crate::personal::Personal;

/// `app/uninstalled`: a shop object, of which only the identity matters; both domains can be null.
#[derive(Clone, Debug, Deserialize)]
pub struct AppUninstalled {
    /// Shopify's number of the shop: what tells a shop object from the compliance bodies, which say `shop_id`.
    pub id: u64,
    /// The public domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// The permanent domain.
    #[serde(default)]
    pub myshopify_domain: Option<String>,
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
    use super::{CustomersRedact, ShopRedact};

    const DATA_REQUEST: &str = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","orders_requested":[2],
        "customer":{"id":3,"email":"a@example.com","phone":null},"data_request":{"id":4}}"#;

    #[test]
    fn a_body_of_another_topic_is_not_a_destructive_one() {
        assert!(serde_json::from_str::<ShopRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<CustomersRedact>(DATA_REQUEST).is_err());
        assert!(serde_json::from_str::<ShopRedact>(r#"{"shop_id":1}"#).is_err());
        let twice = r#"{"shop_id":1,"shop_domain":"a.myshopify.com","shop_domain":"b.myshopify.com"}"#;
        assert!(serde_json::from_str::<ShopRedact>(twice).is_err());
    }
}
