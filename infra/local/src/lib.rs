//! local

pub mod cloud;
