//! The orders of a simulated shop as the Admin API lists them: what the latest webhook told, in GraphQL's words.

use serde_json::{Map, Value, json};
use storeward_core::time::Timestamp;

use super::{SimulatedOrder, describe_order, fault, gid, text};

impl SimulatedOrder {
    /// Takes over what a webhook tells of the order, unless it is older than what was heard.
    pub(super) fn hear(&mut self, webhook: Value) {
        let told_at = |body: &Value| body["updated_at"].as_str().and_then(Timestamp::parse_rfc3339);
        if self.told.is_null() || told_at(&webhook) >= told_at(&self.told) {
            self.fulfilled |= webhook["fulfillment_status"] == "fulfilled";
            self.told = webhook;
        }
    }

    /// When it last changed.
    fn updated_at(&self) -> Timestamp {
        time(&self.told["updated_at"]).unwrap_or(self.created_at)
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(Timestamp::parse_rfc3339)
}

/// The fields of an order that webhooks tell.
pub(super) fn describe_contents(order: &SimulatedOrder, into: &mut Value) {
    let told = &order.told;
    let amount = match &told["total_price"] {
        Value::String(amount) => amount.clone(),
        Value::Number(amount) => amount.to_string(),
        _ => "0.0".to_owned(),
    };
    // Shopify's Decimal drops the zeros at the end, all but one.
    let amount = match amount.split_once('.') {
        Some((whole, cents)) => {
            let cents = cents.trim_end_matches('0');
            format!("{whole}.{}", if cents.is_empty() { "0" } else { cents })
        }
        None => format!("{amount}.0"),
    };
    let money = json!({ "amount": amount, "currencyCode": told["currency"].as_str().unwrap_or("EUR") });
    into["updatedAt"] = json!(order.updated_at().to_rfc3339());
    into["cancelledAt"] = json!(time(&told["cancelled_at"]).map(Timestamp::to_rfc3339));
    into["test"] = json!(told["test"] == true);
    into["email"] = told["email"].clone();
    into["phone"] = told["phone"].clone();
    into["displayFulfillmentStatus"] = json!(if order.fulfilled { "FULFILLED" } else { "UNFULFILLED" });
    into["displayFinancialStatus"] = screaming(&told["financial_status"]);
    into["returnStatus"] = json!("NO_RETURN");
    into["fulfillments"] = fulfilments(order.id, &told["fulfillments"]);
    into["sourceName"] = told["source_name"].clone();
    into["totalPriceSet"] = json!({ "shopMoney": money, "presentmentMoney": money });
    into["customer"] = customer(&told["customer"]);
    into["billingAddress"] = address(order.id, &told["billing_address"]);
    into["shippingAddress"] = address(order.id, &told["shipping_address"]);
}

/// A state of the webhooks in the Admin API's spelling: `paid`, `PAID`.
fn screaming(told: &Value) -> Value {
    told.as_str().map_or(Value::Null, |state| json!(state.to_ascii_uppercase()))
}

/// What was sent, as an order's webhook lists it.
fn fulfilments(order: u64, told: &Value) -> Value {
    let sent = told.as_array().into_iter().flatten();
    let described = sent.map(|sent| {
        let id = sent["id"].as_u64().unwrap_or(order);
        let number = &sent["tracking_number"];
        let parcel = json!({ "company": sent["tracking_company"], "number": number, "url": sent["tracking_url"] });
        let parcels = if number.is_null() { Vec::new() } else { vec![parcel] };
        json!({
            "__typename": "Fulfillment", "id": gid("Fulfillment", id), "displayStatus": screaming(&sent["shipment_status"]),
            "estimatedDeliveryAt": null, "trackingInfo": parcels,
        })
    });
    described.collect()
}

fn customer(told: &Value) -> Value {
    let Some(id) = told["id"].as_u64() else { return Value::Null };
    let one = |key: &str, value: &Value| if value.is_null() { Value::Null } else { json!({ key: value }) };
    json!({
        "__typename": "Customer", "id": gid("Customer", id), "legacyResourceId": id.to_string(),
        "firstName": told["first_name"], "lastName": told["last_name"],
        "defaultEmailAddress": one("emailAddress", &told["email"]),
        "defaultPhoneNumber": one("phoneNumber", &told["phone"]),
    })
}

fn address(order: u64, told: &Value) -> Value {
    if !told.is_object() {
        return Value::Null;
    }
    json!({
        "__typename": "MailingAddress", "id": gid("MailingAddress", order),
        "firstName": told["first_name"], "lastName": told["last_name"], "address1": told["address1"],
        "address2": told["address2"], "city": told["city"], "provinceCode": told["province_code"],
        "zip": told["zip"], "countryCodeV2": told["country_code"], "phone": told["phone"],
    })
}

/// The field `orders`, for what is asked of it here: those that changed since a time, by the time they changed, and those
/// of one e-mail address, the latest first.
pub(super) fn listed<'a>(
    orders: impl Iterator<Item = &'a SimulatedOrder>,
    arguments: &Map<String, Value>,
) -> Result<Value, Value> {
    let unknown = || {
        let message = "only forward pages of updated_at:>='…', and email:\"…\" by CREATED_AT, are simulated";
        fault("INTERNAL_SERVER_ERROR", message)
    };
    let given = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
    if given("last") || given("before") {
        return Err(unknown());
    }
    match text(arguments, "sortKey") {
        "UPDATED_AT" => changed(orders, arguments, unknown),
        "CREATED_AT" if arguments.get("reverse") == Some(&json!(true)) => {
            of_customer(orders, arguments, unknown)
        }
        _ => Err(unknown()),
    }
}

fn of_customer<'a>(
    orders: impl Iterator<Item = &'a SimulatedOrder>,
    arguments: &Map<String, Value>,
    unknown: impl Fn() -> Value,
) -> Result<Value, Value> {
    let quoted = text(arguments, "query").strip_prefix("email:\"").and_then(|rest| rest.strip_suffix('"'));
    let email = quoted.ok_or_else(&unknown)?.replace("\\\"", "\"").replace("\\\\", "\\");
    let first = arguments.get("first").and_then(Value::as_u64).filter(|first| *first <= 250);
    let first = usize::try_from(first.ok_or_else(&unknown)?).unwrap_or(250);
    let is_theirs = |order: &&SimulatedOrder| {
        order.told["email"].as_str().is_some_and(|theirs| theirs.eq_ignore_ascii_case(&email))
    };
    let mut found: Vec<&SimulatedOrder> = orders.filter(is_theirs).collect();
    found.sort_by_key(|order| std::cmp::Reverse((order.created_at, order.id)));
    found.truncate(first);
    let nodes: Vec<Value> = found.iter().map(|order| describe_order(order)).collect();
    Ok(json!({ "nodes": nodes, "edges": [], "pageInfo": { "hasNextPage": false, "hasPreviousPage": false } }))
}

fn changed<'a>(
    orders: impl Iterator<Item = &'a SimulatedOrder>,
    arguments: &Map<String, Value>,
    unknown: impl Fn() -> Value,
) -> Result<Value, Value> {
    let query = text(arguments, "query").strip_prefix("updated_at:>=").map(|time| time.trim_matches('\''));
    let since = query.and_then(Timestamp::parse_rfc3339).ok_or_else(unknown)?;
    let Some(first) = arguments.get("first").and_then(Value::as_u64).filter(|first| *first <= 250) else {
        return Err(fault("BAD_REQUEST", "you must provide one of first or last, of at most 250"));
    };
    let first = usize::try_from(first).unwrap_or(250);
    let cursor = |order: &SimulatedOrder| format!("{:015}-{:020}", order.updated_at().millis(), order.id);
    let after = text(arguments, "after");
    let mut found: Vec<&SimulatedOrder> =
        orders.filter(|order| order.updated_at() >= since && cursor(order).as_str() > after).collect();
    found.sort_by_key(|order| cursor(order));
    let more = found.len() > first;
    found.truncate(first);
    let nodes: Vec<Value> = found.iter().map(|order| describe_order(order)).collect();
    let edges: Vec<Value> = found
        .iter()
        .zip(&nodes)
        .map(|(order, node)| json!({ "cursor": cursor(order), "node": node }))
        .collect();
    Ok(json!({
        "nodes": nodes, "edges": edges,
        "pageInfo": {
            "hasNextPage": more, "hasPreviousPage": !after.is_empty(),
            "startCursor": found.first().map(|order| cursor(order)), "endCursor": found.last().map(|order| cursor(order)),
        },
    }))
}
