//! purge-shop
