//! storeward store
