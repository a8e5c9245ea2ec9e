//! `orders/cancelled`: an order cannot become a second parcel any more. It leaves matching, and its case is settled when
//! fewer than two of its orders still stand.
//! Order of arrival does not matter: the signed body says what is, and when that was.

use storeward_host::{Function, Setting, order_news, webhook};

/// The function.
pub const FUNCTION: Function = Function {
    name: "webhooks/orders-cancelled",
    needs: &[&Setting::STORE, &[Setting::ShopifySecrets, Setting::MatchOrderQueueUrl, Setting::Log]],
    run: |ctx, invocation| Box::pin(webhook(ctx, invocation, "orders/cancelled", order_news)),
};
