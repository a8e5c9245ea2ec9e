//! storeward host
