//! Logs: one JSON object a line, as Lambda's log groups read them. What may be in one is decided where it is
//! written: names of functions, blinded references, counts, error codes.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// Starts logging to standard output with the filter in `STOREWARD_LOG`. Calling it again changes nothing.
pub fn start_telemetry(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stdout.with_max_level(tracing::Level::TRACE))
        .finish();
    // Only the first subscriber of a process can be the global one.
    let _already_started = tracing::subscriber::set_global_default(subscriber);
}
