//! What an order's lines tell, read with tolerance: a strange line is no reason to refuse an order.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::personal::Personal;

/// How many lines of an order are read. What comes after says no more about two orders being one.
pub const LINES_READ: usize = 500;

/// How long an identifier can be and still be kept: no shop's is longer.
const LONGEST_TEXT: usize = 255;

/// A line of an order: what, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem {
    /// The variant's number, or the product's, or the article number (SKU); whichever is there first.
    pub item: Personal<String>,
    /// How many; 1 when it is not said.
    pub quantity: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

impl Loose {
    fn text(self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => {
                let text = text.trim();
                (!text.is_empty() && text.len() <= LONGEST_TEXT).then(|| text.to_owned())
            }
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Fields {
    variant_id: Option<Loose>,
    product_id: Option<Loose>,
    sku: Option<Loose>,
    quantity: Option<Loose>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Fields(Fields),
    Other(IgnoredAny),
}

impl Line {
    fn item(self) -> Option<LineItem> {
        let Self::Fields(fields) = self else { return None };
        let part = |name: &str, value: Option<Loose>| Some(format!("{name}:{}", value?.text()?));
        let item = part("variant", fields.variant_id)
            .or_else(|| part("product", fields.product_id))
            .or_else(|| part("sku", fields.sku))?;
        let quantity = fields.quantity.and_then(Loose::text).and_then(|text| text.parse().ok()).unwrap_or(1);
        Some(LineItem { item: Personal::new(item), quantity })
    }
}

/// The lines as far as they are read; whatever is no list has none.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LineItem>, D::Error> {
    deserializer.deserialize_any(Lines)
}

struct Lines;

impl<'de> Visitor<'de> for Lines {
    type Value = Vec<LineItem>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lines of an order")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        for _ in 0..LINES_READ {
            match lines.next_element::<Line>()? {
                Some(line) => read.extend(line.item()),
                None => return Ok(read),
            }
        }
        while lines.next_element::<IgnoredAny>()?.is_some() {}
        Ok(read)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}

/// A text or a number as text; whatever else is there says nothing.
pub(super) fn loose_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Personal<String>>, D::Error> {
    Ok(Option::<Loose>::deserialize(deserializer)?.and_then(Loose::text).map(Personal::new))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::order::Order;

    fn order(lines: &serde_json::Value) -> Order {
        let body = json!({"id": 1, "created_at": "2026-11-01T09:30:00Z", "total_price": null, "line_items": lines,
            "checkout_token": {"odd": true}, "source_name": 580_111});
        serde_json::from_str(&body.to_string()).unwrap()
    }

    #[test]
    fn strange_lines_are_left_out_and_the_order_is_read() {
        let read = order(&json!([
            {"variant_id": 9_600_000_000_000_000_001_u64, "quantity": 2, "properties": [{"name": null}]},
            {"variant_id": null, "product_id": "77", "quantity": null},
            {"variant_id": {}, "sku": " MUG ", "quantity": "3"},
            {"variant_id": 1.5, "quantity": -1}, null, 7, [], "line",
        ]));
        let lines: Vec<(&str, u64)> =
            read.line_items.iter().map(|line| (line.item.expose().as_str(), line.quantity)).collect();
        assert_eq!(lines, [("variant:9600000000000000001", 2), ("product:77", 1), ("sku:MUG", 3)]);
        assert_eq!(read.checkout_token, None);
        assert_eq!(read.source_name, Some("580111".to_owned().into()));
    }

    #[test]
    fn no_more_lines_are_kept_than_are_compared() {
        let line = json!({"variant_id": 1, "quantity": 1});
        assert_eq!(order(&json!(vec![line; LINES_READ + 50])).line_items.len(), LINES_READ);
    }

    #[test]
    fn what_was_bought_is_not_written() {
        let mut read = order(&json!([{"sku": "CANARY"}]));
        read.checkout_token = Some("CANARY".to_owned().into());
        read.source_name = Some("CANARY".to_owned().into());
        let written = serde_json::to_string(&read).unwrap();
        assert!(!written.contains("CANARY") && !written.contains("line_items"), "{written}");
    }

    proptest! {
        #[test]
        fn whatever_stands_for_the_lines_the_order_is_read(junk in prop_oneof![
            Just(json!(null)), Just(json!({"a": [1]})), Just(json!("x")), Just(json!(-3)), Just(json!(0.5)),
            Just(json!(true)), Just(json!([[[]]])), Just(json!([{"sku": ["x"]}])),
        ]) {
            prop_assert_eq!(order(&junk).line_items, Vec::new());
        }
    }
}
