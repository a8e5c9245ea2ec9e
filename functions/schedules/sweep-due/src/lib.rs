//! sweep-due
