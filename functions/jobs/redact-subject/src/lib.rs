//! redact-subject
