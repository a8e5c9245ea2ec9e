//! storeward core
