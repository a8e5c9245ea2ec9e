//! customers-redact
