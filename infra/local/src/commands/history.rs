//! The demo shop: a merchant with the app and a short history, delivered as Shopify delivers it. What becomes
//! of the deliveries is the functions'.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::oauth::Scopes;
use storeward_core::shop::ShopDomain;
use storeward_core::time::{MINUTE, Timestamp};
use storeward_store::{Access, Acting, By, Installation, Profile, Store};

use super::Trouble;
use super::webhooks::Webhook;
use crate::runtime::bundle::Bundle;
use crate::shopify::oauth::STAFF;
use crate::shopify::{SimulatedOrder, SimulatedShop};

/// The demo shop: the one the sample events are from.
pub const SHOP: &str = "storeward-demo.myshopify.com";

/// What the simulated Shopify gave the app for the demo shop: visibly no real token.
pub const ACCESS_TOKEN: &str = "shpat_test_storeward_demo";

/// What the demo shop's merchant granted.
const GRANTED: &str = "read_orders,write_orders,write_merchant_managed_fulfillment_orders";

/// The demo shop's number in the sample events.
const SHOP_NUMBER: u64 = 70_000_000_001;

/// Orders of the history have numbers apart from those of the sample events, which then can be sent too.
const FIRST_ORDER: u64 = 8_100_000_000_000_000_001;

/// An order of the history: how long ago, by whom.
struct Past {
    ago: Duration,
    email: &'static str,
    phone: Option<&'static str>,
    total: &'static str,
}

/// Two customers order once. The third does so twice within 38 seconds, the second time in capitals and
/// without a phone number.
const HISTORY: [Past; 4] = [
    Past { ago: Duration::from_hours(3), email: "early.sample@example.com", phone: None, total: "19.00" },
    Past {
        ago: Duration::from_mins(9),
        email: "hasty.sample@example.com",
        phone: Some("+12025550181"),
        total: "48.50",
    },
    Past {
        ago: Duration::from_secs(9 * 60 - 38),
        email: "Hasty.Sample@Example.com",
        phone: None,
        total: "48.50",
    },
    Past { ago: MINUTE, email: "late.sample@example.com", phone: Some("+12025550182"), total: "7.25" },
];

/// The store, as the functions use it. The stack must be served by now.
pub async fn store_of(bundle: &Bundle) -> Result<StoreHandle, Trouble> {
    let context = bundle
        .functions
        .context("webhooks/orders-create")
        .ok_or_else(|| Trouble("template.yaml has no function webhooks/orders-create".to_owned()))?;
    let store = context.store().await.map_err(|error| Trouble::new("the store cannot be opened", error))?;
    Ok(StoreHandle(store.standing_for(Acting::new(By::system("local"), None))))
}

/// A store that was opened.
#[derive(Debug)]
pub struct StoreHandle(Store);

impl StoreHandle {
    /// The store.
    #[must_use]
    pub const fn get(&self) -> &Store {
        &self.0
    }
}

/// Tells the simulated Shopify of a shop that has the app: its admin shows it, and its orders can be tagged.
pub fn introduce(bundle: &Bundle, domain: &str, name: &str) {
    bundle.stack.shopify().install(SimulatedShop {
        domain: domain.to_owned(),
        id: SHOP_NUMBER,
        name: name.to_owned(),
        email: "owner@example.com".to_owned(),
        access_token: ACCESS_TOKEN.to_owned(),
        scopes: GRANTED.split(',').map(str::to_owned).collect(),
    });
}

/// Installs the app in a shop, on both sides: Shopify gives a token, the bundle keeps it. Where it is installed
/// already, Shopify learns of it again.
pub async fn install(bundle: &Bundle, domain: &str, name: &str) -> Result<Installation, Trouble> {
    let known: ShopDomain =
        domain.parse().map_err(|_| Trouble(format!("{domain} is no shop's permanent domain")))?;
    introduce(bundle, domain, name);
    let profile = Profile {
        shopify_id: Some(SHOP_NUMBER),
        domain: known,
        email: Some("owner@example.com".to_owned().into()),
        plan: Some("basic".to_owned()),
        public_domain: None,
    };
    let store = store_of(bundle).await?;
    let now = bundle.stack.now();
    let access = Access::lasting(ACCESS_TOKEN, Scopes::parse(GRANTED), now);
    let failed = |error| Trouble::new("the demo shop cannot be installed", error);
    let store = store.get();
    let installation = store.connect(&profile, now, &access, now).await.map_err(failed)?;
    // Who installs it opens it: its owner.
    store.member_opened(&installation, STAFF).await.map_err(failed)?;
    Ok(installation)
}

/// Tells the simulated Shopify of an order that a webhook's body is about.
pub fn place_order(bundle: &Bundle, shop: &str, body: &str) {
    let order: Value = serde_json::from_str(body).unwrap_or_default();
    let placed = order["created_at"].as_str().and_then(Timestamp::parse_rfc3339);
    if let (Some(id), Some(placed)) = (order["id"].as_u64(), placed) {
        let name = order["name"].as_str().unwrap_or_default();
        bundle.stack.shopify().add_order(shop, SimulatedOrder::new(id, name, placed));
    }
}

/// Installs the demo shop and delivers its history through the function URLs. A shop that was kept from an
/// earlier run is left as it is: Shopify is told of its flagged orders again, which it does not keep.
pub async fn play(bundle: &Bundle, port: u16) -> Result<(), Trouble> {
    let now = bundle.stack.now();
    let installation = install(bundle, SHOP, "Storeward Demo").await?;
    if installation.tenant.generation.since() < now {
        return recall(bundle, &installation).await;
    }
    for (id, (number, past)) in (FIRST_ORDER..).zip((101..).zip(&HISTORY)) {
        let placed = (now - past.ago).to_rfc3339();
        let body = json!({
            "id": id, "name": format!("#{number}"), "created_at": placed, "updated_at": placed,
            "test": false, "cancelled_at": null, "source_name": "web",
            "email": past.email, "contact_email": past.email, "phone": past.phone,
            "currency": "USD", "total_price": past.total, "line_items": [],
        });
        let webhook = Webhook::new("orders/create", SHOP, body.to_string(), now);
        place_order(bundle, SHOP, &webhook.body);
        let answer = webhook.post(port).await?;
        if answer.status != 200 {
            return Err(Trouble(format!("the demo shop's order #{number} was answered {}", answer.body)));
        }
    }
    Ok(())
}

async fn recall(bundle: &Bundle, installation: &Installation) -> Result<(), Trouble> {
    let store = store_of(bundle).await?;
    let cases = store.get().cases(installation).await;
    for member in cases.map_err(|error| Trouble::new("cases", error))?.iter().flat_map(|case| &case.members) {
        let name = member.name.as_ref().map(|name| name.expose().clone()).unwrap_or_default();
        let mut order = SimulatedOrder::new(*member.id.expose(), name, member.created_at);
        order.tags = vec![notify_merchant::TAG.to_owned()];
        bundle.stack.shopify().add_order(SHOP, order);
    }
    Ok(())
}
