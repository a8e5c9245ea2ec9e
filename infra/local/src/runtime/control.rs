//! x
use super::LocalStack;
use axum::Router;
pub(super) fn router() -> Router<LocalStack> {
    Router::new()
}
