//! The outside world: thin typed clients for what Storeward calls. Who may be told what is the data map's and
//! the egress gate's; what to do with an answer is the caller's.

mod changed_orders;
pub mod claude;
mod error;
pub mod gmail;
pub mod google;
mod http;
pub mod issuer;
mod order_context;
pub mod resend;
pub mod shopify;

pub use changed_orders::{ChangedOrders, order_of};
pub use error::ClientError;
pub use order_context::{CustomerOrder, Parcel};
