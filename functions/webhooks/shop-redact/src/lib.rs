//! shop-redact
