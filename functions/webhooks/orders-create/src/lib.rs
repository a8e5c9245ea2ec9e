//! orders-create
