//! Logs: one JSON object a line, as Lambda's log groups read them. What may be in one is decided where it is
//! written: names of functions, blinded references, counts, error codes.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging to `writer`. `filter` is a level or a `tracing-subscriber` filter. Calling it again changes nothing.
///
/// # Errors
/// When the filter cannot be read.
pub fn start_telemetry<W>(filter: &str, writer: W) -> Result<(), ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(writer)
        .finish();
    // Only the first subscriber of a process can be the global one.
    let _already_started = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
