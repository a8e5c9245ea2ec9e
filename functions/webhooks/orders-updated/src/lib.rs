//! `orders/updated`: an order is stored as it is now, in its record, its index rows and its case, and looked at again
//! where what it is compared by changed.
//! Order of arrival does not matter: the signed body says what is, and when that was.

use storeward_host::{Function, Setting, order_news, webhook};

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/orders-updated",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::MatchOrderQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "orders/updated", order_news)),
};
