//! storeward clients
