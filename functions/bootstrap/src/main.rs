//! The one release artifact: Lambda starts it, and `_HANDLER` says which function it is.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use storeward_core::time::Timestamp;
use storeward_host::{Connections, Context, Invocation, Setting, Settings, start_telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let name = handler_name();
    let function = bootstrap::function(&name)
        .ok_or_else(|| format!("_HANDLER names no function of this bundle: {name:?}; see template.yaml"))?;
    let settings = Settings::from_environment(&function.settings())?;
    if start_telemetry(settings.get(Setting::Log)?, std::io::stdout).is_err() {
        // A slip in a filter must not stop a deployment.
        start_telemetry("info", std::io::stdout)?;
    }
    let context = Arc::new(Context::new(settings, Connections::deployed().await));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<serde_json::Value>| {
        let context = Arc::clone(&context);
        async move {
            let deadline = Timestamp(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
            let invocation = Invocation { event: event.payload, deadline };
            function.invoke(&context, invocation).await.map_err(Error::from)
        }
    }))
    .await
}

#[expect(clippy::disallowed_methods, reason = "Lambda's own way to name the function; not a setting of ours")]
fn handler_name() -> String {
    std::env::var("_HANDLER").unwrap_or_default()
}
