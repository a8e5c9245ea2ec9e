//! `orders/fulfilled`: an order was sent. Its case says so and stays open: two parcels of one order are what a merchant wants
//! to hear of.
//! Order of arrival does not matter: the signed body says what is, and when that was.

use storeward_host::{Function, Setting, order_news, webhook};

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/orders-fulfilled",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::MatchOrderQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "orders/fulfilled", order_news)),
};
