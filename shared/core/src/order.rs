//! An order as Shopify's webhooks tell it, cut down to what the duplicate guard may keep (promise DG40).
//! What was bought, the checkout and the channel are read to be compared as blinded signatures, and never written.
//! Notes, IP addresses and everything else in the body are not even read.

use serde::{Deserialize, Deserializer, Serialize};

mod lines;

pub use lines::{LINES_READ, LineItem};

use crate::personal::Personal;
use crate::time::Timestamp;

/// An order: `orders/create`, `orders/updated`, `orders/cancelled`, `orders/paid` and `orders/fulfilled` share this
/// shape. Nearly every personal field can be null: Shopify withholds what an app is not approved for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Shopify's number of the order; larger than 2^53 is possible.
    pub id: Personal<u64>,
    /// What the merchant calls it, `#1001`.
    #[serde(default)]
    pub name: Option<Personal<String>>,
    /// When it was placed.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it last changed; Shopify's own guard against late deliveries.
    #[serde(default, with = "rfc3339::option")]
    pub updated_at: Option<Timestamp>,
    /// When it was cancelled, if it was.
    #[serde(default, with = "rfc3339::option")]
    pub cancelled_at: Option<Timestamp>,
    /// Whether all of it was sent. Read and not written with the order: it is a state, not a part of what was ordered.
    #[serde(default, rename = "fulfillment_status", deserialize_with = "is_fulfilled", skip_serializing)]
    pub fulfilled: bool,
    /// A test order of the merchant's.
    #[serde(default, deserialize_with = "null_is_default")]
    pub test: bool,
    /// The address typed at checkout.
    #[serde(default)]
    pub email: Option<Personal<String>>,
    /// Where Shopify writes to; usually the same.
    #[serde(default)]
    pub contact_email: Option<Personal<String>>,
    /// The phone number typed at checkout.
    #[serde(default)]
    pub phone: Option<Personal<String>>,
    /// The customer account.
    #[serde(default)]
    pub customer: Option<Customer>,
    /// Where the bill goes.
    #[serde(default)]
    pub billing_address: Option<Address>,
    /// Where the parcel goes.
    #[serde(default)]
    pub shipping_address: Option<Address>,
    /// ISO 4217.
    #[serde(default)]
    pub currency: Option<String>,
    /// The total as written; strings and numbers both occur on the wire. The key must be there, be it null: it tells
    /// an order from the bodies of other topics, which are signed with the same secret.
    #[serde(deserialize_with = "amount")]
    pub total_price: Option<String>,
    /// What was bought, as far as [`LINES_READ`]. Not in a stored order (promise DG40).
    #[serde(default, skip_serializing, deserialize_with = "lines::read")]
    pub line_items: Vec<LineItem>,
    /// Which checkout it came from; two orders of one checkout are one order placed twice. Not in a stored order.
    #[serde(default, skip_serializing, deserialize_with = "lines::loose_text")]
    pub checkout_token: Option<Personal<String>>,
    /// The channel it came by: `web`, `pos`, or an app's number. Not in a stored order.
    #[serde(default, skip_serializing, deserialize_with = "lines::loose_text")]
    pub source_name: Option<Personal<String>>,
}

/// The customer account an order belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Shopify's number of the customer.
    #[serde(default)]
    pub id: Option<Personal<u64>>,
    /// The account's address; can differ from the order's.
    #[serde(default)]
    pub email: Option<Personal<String>>,
    /// The account's phone number.
    #[serde(default)]
    pub phone: Option<Personal<String>>,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Given name.
    #[serde(default)]
    pub first_name: Option<Personal<String>>,
    /// Family name.
    #[serde(default)]
    pub last_name: Option<Personal<String>>,
    /// Street and number.
    #[serde(default)]
    pub address1: Option<Personal<String>>,
    /// Flat, floor, building.
    #[serde(default)]
    pub address2: Option<Personal<String>>,
    /// City.
    #[serde(default)]
    pub city: Option<Personal<String>>,
    /// Province or state.
    #[serde(default)]
    pub province_code: Option<Personal<String>>,
    /// Postcode.
    #[serde(default)]
    pub zip: Option<Personal<String>>,
    /// ISO 3166-1 alpha-2.
    #[serde(default)]
    pub country_code: Option<Personal<String>>,
    /// A number for the carrier.
    #[serde(default)]
    pub phone: Option<Personal<String>>,
}

impl Order {
    /// The global id GraphQL knows the order by.
    #[must_use]
    pub fn gid(&self) -> Personal<String> {
        Personal::new(format!("gid://shopify/Order/{}", self.id.expose()))
    }

    /// Whether the duplicate guard looks at this order: not at tests and not at what is cancelled already.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.test && self.cancelled_at.is_none()
    }

    /// Which telling of the order this is: later ones are not smaller. Shopify counts in whole seconds, so that two
    /// different tellings can have the same. A body without `updated_at` is as old as the last that it tells of.
    #[must_use]
    pub fn version(&self) -> Timestamp {
        self.updated_at.unwrap_or_else(|| self.created_at.max(self.cancelled_at.unwrap_or(self.created_at)))
    }

    /// What is left of an order that serves no purpose any more: which one it was, and that it is over.
    #[must_use]
    pub fn stripped(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            cancelled_at: self.cancelled_at,
            fulfilled: self.fulfilled,
            test: self.test,
            email: None,
            contact_email: None,
            phone: None,
            customer: None,
            billing_address: None,
            shipping_address: None,
            currency: None,
            total_price: None,
            line_items: Vec::new(),
            checkout_token: None,
            source_name: None,
        }
    }

    /// The addresses, the shipping address first.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.shipping_address.iter().chain(&self.billing_address)
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Of the states of a fulfilment only one matters: everything was sent. `partial`, `restocked` and null are not that.
fn is_fulfilled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.as_deref() == Some("fulfilled"))
}

/// Amounts are strings in most bodies and floats in some: both are kept as the text they were.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amount {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(Option::<Amount>::deserialize(deserializer)?.map(|amount| match amount {
        Amount::Text(text) => text,
        Amount::Number(number) => number.to_string(),
    }))
}

mod rfc3339 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    const EXPECTED: &str = "a time as RFC 3339, like 2026-11-01T09:30:00+01:00";

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The text itself stays out of the error: it could be anything a stranger sent.
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom(EXPECTED))
    }

    pub(super) mod option {
        use serde::de::Error;
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::time::Timestamp;

        #[expect(clippy::ref_option, reason = "the signature that serde calls")]
        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.serialize_some(&time.to_rfc3339()),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            match Option::<String>::deserialize(deserializer)? {
                None => Ok(None),
                Some(text) => {
                    Timestamp::parse_rfc3339(&text).map(Some).ok_or_else(|| D::Error::custom(super::EXPECTED))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn nulls_large_ids_and_both_kinds_of_amounts_are_read() {
        let order: Order = serde_json::from_str(
            r#"{"id":9007199254740993,"name":null,"created_at":"2026-11-01T09:30:00+01:00","test":null,
                "email":null,"customer":null,"shipping_address":{"zip":null},"total_price":12.5,"note":"unread"}"#,
        )
        .unwrap();
        assert_eq!(*order.id.expose(), 9_007_199_254_740_993);
        assert_eq!(order.created_at.to_rfc3339(), "2026-11-01T08:30:00Z");
        assert_eq!(order.total_price.as_deref(), Some("12.5"));
        assert!(order.counts());
    }

    #[test]
    fn a_version_is_the_latest_time_told_and_only_a_whole_fulfilment_counts() {
        let read = |rest: &str| -> Order {
            let text = format!(r#"{{"id":1,"total_price":null,"created_at":"2026-11-01T09:00:00Z"{rest}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        assert_eq!(read("").version().to_rfc3339(), "2026-11-01T09:00:00Z");
        let cancelled = read(r#","updated_at":null,"cancelled_at":"2026-11-01T10:00:00Z""#);
        assert_eq!(cancelled.version().to_rfc3339(), "2026-11-01T10:00:00Z");
        assert_eq!(
            read(r#","updated_at":"2026-11-02T00:00:00Z""#).version().to_rfc3339(),
            "2026-11-02T00:00:00Z"
        );
        for (status, fulfilled) in
            [("null", false), (r#""partial""#, false), (r#""fulfilled""#, true), (r#""restocked""#, false)]
        {
            let order = read(&format!(r#","fulfillment_status":{status}"#));
            assert_eq!(order.fulfilled, fulfilled, "{status}");
            assert!(
                !serde_json::to_string(&order).unwrap().contains("fulfil"),
                "a state is not stored with it"
            );
        }
    }

    #[test]
    fn an_error_does_not_repeat_what_was_sent() {
        let error =
            serde_json::from_str::<Order>(r#"{"id":1,"created_at":"canary@example.com"}"#).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
