//! Storeward on one machine: the clouds it runs on, emulated on the real wire, the wiring read from
//! `template.yaml`, and simulated versions of Shopify, Resend, Google and
//! Claude, and an issuer of operators' tokens. Nothing of this is in the Lambda artifact, and no behaviour of
//! the product lives here.

pub mod claude;
pub mod cloud;
pub mod commands;
pub mod egress;
pub mod google;
pub mod issuer;
pub mod resend;
pub mod runtime;
pub mod shopify;
pub mod template;

#[cfg(test)]
mod wire;
