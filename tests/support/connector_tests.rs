//! Does the connector record what is sent, and do its faults do what the real ones do?
