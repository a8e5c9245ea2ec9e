//! `cargo run`: starts everything, says where it is, and serves until Ctrl-C. What the demo shop contains is
//! `history`'s.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;

use storeward_core::retention::{Deployment, Preset};
use storeward_core::time::{Clock, SystemClock, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::history::{self, ACCESS_TOKEN, SHOP};
use super::webhooks::SECRET;
use super::{PORT, ServeArgs, Trouble};
use crate::claude;
use crate::google;
use crate::issuer;
use crate::resend;
use crate::runtime::bundle::{Bundle, CLIENT_ID, Keep, Options};
use crate::shopify::API_VERSION;
use crate::template::Template;

/// The wiring everything runs with: what is deployed.
const TEMPLATE: &str = include_str!("../../../../template.yaml");

/// A bundle that is served on loopback.
#[derive(Debug)]
pub struct Served {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// What is served.
    pub bundle: Bundle,
    serving: JoinHandle<std::io::Result<()>>,
    /// Held as long as the directory is in use.
    _lock: Option<File>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    /// Starts the bundle and serves it at `port`, or at any free one for 0. With a directory it runs on the
    /// machine's time; without one its clock starts at `from`.
    pub async fn start(port: u16, directory: Option<&Path>, from: Timestamp) -> Result<Self, Trouble> {
        Self::start_with(port, directory, from, BTreeMap::new()).await
    }

    /// The same with further parameters of the template.
    async fn start_with(
        port: u16,
        directory: Option<&Path>,
        from: Timestamp,
        parameters: BTreeMap<String, String>,
    ) -> Result<Self, Trouble> {
        let lock = directory.map(claim).transpose()?;
        let (listener, port) = bind(port).await?;
        let keep = directory.map_or(Keep::Nothing { from }, |directory| Keep::In(directory.to_owned()));
        let options = Options {
            template: TEMPLATE.to_owned(),
            client_secrets: vec![SECRET.to_owned()],
            keep,
            parameters,
        };
        let bundle = Bundle::start(options, port).await.map_err(|error| match directory {
            Some(directory) => Trouble(format!(
                "{} cannot be used: {error}\nName another directory, or remove it to start anew.",
                directory.display()
            )),
            None => Trouble::new("the bundle cannot be started", error),
        })?;
        let stack = bundle.stack.clone();
        let serving = tokio::spawn(async move { stack.run(listener).await });
        Ok(Self { port, bundle, serving, _lock: lock })
    }

    /// Serves until it cannot any more.
    async fn end(&mut self) -> Result<(), Trouble> {
        let ended = (&mut self.serving).await.map_err(|error| Trouble::new("serving ended", error))?;
        ended.map_err(|error| Trouble::new("serving ended", error))
    }
}

async fn bind(port: u16) -> Result<(TcpListener, u16), Trouble> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "Stop what uses it, or name another: `cargo run -- --port 8081`.",
            ErrorKind::PermissionDenied => "Name one above 1023: `cargo run -- --port 8081`.",
            _ => "Name another: `cargo run -- --port 8081`.",
        };
        Trouble(format!("port {port} cannot be used: {error}\n{advice}"))
    })?;
    let port = listener.local_addr().map_err(|error| Trouble::new("the port", error))?.port();
    Ok((listener, port))
}

/// Makes the directory and takes it for this process alone: two databases on one file would not agree.
pub(super) fn claim(directory: &Path) -> Result<File, Trouble> {
    let shown = directory.display();
    let unusable = |error: std::io::Error| {
        Trouble(format!(
            "{shown} cannot be written: {error}\nName a directory of your own: `cargo run -- --data DIR`."
        ))
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // Keys lie in it, beside what they seal.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(unusable)?;
    let file = File::options().create(true).append(true).open(directory.join("in-use")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble(format!(
            "{shown} is used by another instance\nStop that one, or name another directory."
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Starts everything, prints what runs where, and serves until Ctrl-C.
pub async fn serve(args: &ServeArgs, out: &mut impl Write) -> Result<(), Trouble> {
    let from = SystemClock.now();
    let named = [("RetentionPreset", &args.retention_preset), ("RetentionDays", &args.retention_days)];
    let parameters = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    let kept = Deployment::read(
        args.retention_preset.as_deref().unwrap_or(Preset::default().name()),
        args.retention_days.as_deref().unwrap_or_default(),
    );
    kept.map_err(|error| Trouble::new("--retention-preset and --retention-days", error))?;
    let mut served = Served::start_with(args.port, args.data.as_deref(), from, parameters.collect()).await?;
    let stack = served.bundle.stack.clone();
    let time = stack.clone();
    // Ends with the program.
    let _keeper = tokio::spawn(async move { time.keep_time(from).await });
    if !args.empty {
        history::play(&served.bundle, served.port).await?;
        stack.settle().await.map_err(|error| Trouble::new("the demo shop", error))?;
    }
    let text = welcome(served.port, stack.template(), args);
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| Trouble::new("standard output", error))?;
    tokio::select! {
        ended = served.end() => ended,
        () = stopped() => {
            let _closed = writeln!(out, "\nStopped.");
            Ok(())
        }
    }
}

/// Comes when somebody wants this to end: Ctrl-C, or the signal that services are stopped with.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _signal = tokio::signal::ctrl_c().await;
}

/// What runs where, and what to try.
fn welcome(port: u16, template: &Template, args: &ServeArgs) -> String {
    let here = format!("http://127.0.0.1:{port}");
    let same_port = if port == PORT { String::new() } else { format!(" --port {port}") };
    let mut out = format!("\nStoreward runs at {here} until you press Ctrl-C.\n");
    let _infallible = match &args.data {
        Some(directory) => {
            writeln!(out, "It keeps its data in {} and follows real time.", directory.display())
        }
        None => writeln!(out, "Nothing is kept. Its clock runs with yours and can be moved."),
    };
    out.push('\n');
    let mut line = |name: &str, what: &str| {
        let _infallible = writeln!(out, "  {name:<18} {what}");
    };
    line("Control page", &format!("{here}/_local/"));
    let mut name = "Function URLs";
    for function in template.functions.iter().filter(|function| function.url) {
        line(name, &format!("{here}/lambda-url/{}/", function.name));
        name = "";
    }
    line("API", &format!("{here}/api/  (described at {here}/api/v1/openapi.json)"));
    line("Operators' API", &format!("{here}/operator/v1/"));
    line("Test issuer", &format!("{here}{}  (operators' tokens, for whoever asks)", issuer::PATH));
    line("Simulated Shopify", &format!("{here}/<shop>/admin/api/{API_VERSION}/graphql.json"));
    line(
        "Simulated Resend",
        &format!("{here}{}/emails  (mails are shown on the control page)", resend::PATH),
    );
    line(
        "Simulated Google",
        &format!("{here}{0}/gmail/v1/  (mail is put in by POST to {here}{0}/staging/deliver)", google::PATH),
    );
    line("Simulated Claude", &format!("{here}{}/v1/messages  (a few words, no model)", claude::PATH));
    line("AWS endpoint", &format!("{here}  (DynamoDB, SQS, KMS, EventBridge Scheduler)"));
    line("Client secret", &format!("{SECRET}  (what webhooks are signed with here)"));
    if !args.empty {
        line("Demo shop", &format!("{SHOP}, with four orders: #102 and #103 came"));
        line("", "38 seconds apart and are in one case. See the control page.");
    }
    out.push_str("\nTry in another terminal:\n");
    let mut hint = |what: &str, command: &str| {
        let _infallible = write!(out, "\n  # {what}\n  {command}\n");
    };
    if !args.empty {
        let deliver = |sample: &str| format!("cargo run -- deliver events/webhooks/{sample}.json{same_port}");
        hint(
            "a customer orders twice (two webhooks, signed): one more case on the control page",
            &format!("{}\n  {}", deliver("orders-create/first"), deliver("orders-create/second-same-person")),
        );
        hint("that customer asks to be forgotten", &deliver("customers-redact/by-id"));
        hint(
            "what the shop sees: the order and its tags, from the simulated Shopify",
            &format!(
                "curl -sS {here}/{SHOP}/admin/api/{API_VERSION}/graphql.json \\\n    \
                 -H 'X-Shopify-Access-Token: {ACCESS_TOKEN}' -H 'Content-Type: application/json' \\\n    \
                 -d '{{\"query\":\"{{ order(id: \\\"gid://shopify/Order/8100000000000000002\\\") {{ name tags }} }}\"}}'"
            ),
        );
        hint(
            "what the merchant sees: the cases, from the API, with the session token the admin gives the app",
            &format!(
                "curl -sS {here}/api/v1/cases -H \"Authorization: Bearer $(curl -sS \\\n    \
                 {here}/{SHOP}/admin/apps/{CLIENT_ID} | sed 's/.*\"id_token\":\"//; s/\".*//')\""
            ),
        );
        hint(
            "what an operator sees of that shop, with a token of the test issuer (support, security or admin)",
            &format!(
                "curl -sS {here}/operator/v1/shops/lookup -d '{{\"domain\":\"{SHOP}\"}}' \\\n    \
                 -H \"Authorization: Bearer $(curl -sS {here}{}/token -d role=support | \\\n    \
                 sed 's/.*\"access_token\":\"//; s/\".*//')\"",
                issuer::PATH
            ),
        );
        hint("the shop uninstalls the app", &deliver("app-uninstalled/plain"));
    }
    if args.data.is_none() {
        hint(
            "48 hours pass, and everything that is due happens on the way",
            &format!("curl -sS {here}/_local/clock -d '{{\"advance\":\"48h\"}}'"),
        );
    }
    hint("all of this as a story that checks itself", "cargo run -- demo");
    out.push('\n');
    out
}
