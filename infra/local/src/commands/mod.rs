//! The commands of the local run and how they end. What each one does stands in its module; nothing of the
//! product lives here.

pub mod client;
pub mod deliver;
pub mod demo;
pub mod evaluate;
pub mod evidence;
pub mod history;
pub mod publish;
pub mod record;
pub mod replay;
pub mod retention;
pub mod serve;
pub mod verify;
pub mod webhooks;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use storeward_core::disclosure;
use storeward_core::time::{Clock as _, SystemClock};
use storeward_host::{Connections, Context, Setting, Settings, start_telemetry};
use storeward_store::{Acting, By, Store};

/// The port everything is served at when nothing else is said.
pub const PORT: u16 = 8080;

/// Storeward on this machine: every function, with its database, queues, schedules and a simulated Shopify, on
/// loopback.
#[derive(Clone, Debug, Parser)]
#[command(name = "storeward", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What else than serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Logs of the functions that go to standard error, as JSON: a level or a tracing filter, such as `info`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The port on 127.0.0.1; 0 takes any that is free.
    #[arg(long, default_value_t = PORT)]
    pub port: u16,
    /// Keep everything in this directory, and follow this machine's time.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Start without the demo shop.
    #[arg(long)]
    pub empty: bool,
    /// How long things are kept: strictest (the default), duplicate-guard, bot-guard or mail-desk.
    #[arg(long, value_name = "PRESET")]
    pub retention_preset: Option<String>,
    /// What is kept for a shorter time than the preset says, in days: order=45,case=200.
    #[arg(long, value_name = "KIND=DAYS")]
    pub retention_days: Option<String>,
}

/// Everything that is not serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Play a shop's life from install to purge on a moved clock, and check everything that is told.
    Demo {
        /// Tell it to machines: one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Sign a sample event as Shopify does and send it to a running stack, as if it happened now.
    Deliver {
        /// The event, such as events/webhooks/orders-create/first.json; its directory names the function.
        event: PathBuf,
        /// The port of the running stack.
        #[arg(long, default_value_t = PORT)]
        port: u16,
        /// Send it as the delivery it was recorded as: sent again, it is a repetition.
        #[arg(long)]
        same_id: bool,
    },
    /// Say what other windows would delete of what is stored, and change nothing.
    Retention {
        /// The windows to try, in days, of order, match, case and exception: order=30,case=90.
        #[arg(long, value_name = "KIND=DAYS")]
        what_if: String,
        /// The directory that a stack keeps its data in, which must not be running; else the demo shop ten days on.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Say it to machines: one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Print how personal data is handled: the record of processing, retention, sub-processors and measures.
    Policy {
        /// As what.
        #[arg(long, value_enum, default_value_t = publish::As::Markdown)]
        format: publish::As,
    },
    /// Print the yearly summary of security and compliance: measures, what is missing, and what happened.
    Posture {
        /// What is read.
        #[command(flatten)]
        source: evidence::Source,
        /// As what.
        #[arg(long, value_enum, default_value_t = publish::As::Markdown)]
        format: publish::As,
    },
    /// Print the review of access to personal data of a month: what is unusual, and what was read.
    ReviewAccess {
        /// Which month, such as 2026-11.
        #[arg(long)]
        month: String,
        /// What is read.
        #[command(flatten)]
        source: evidence::Source,
        /// As what.
        #[arg(long, value_enum, default_value_t = publish::As::Markdown)]
        format: publish::As,
    },
    /// Hold the ledger against its sealed, signed days: shows deleted, altered, moved and added entries.
    VerifyLedger(verify::VerifyArgs),
    /// After a backup was restored: repeat the erasures since, in the deployment that the environment names.
    ReplayErasures {
        /// The moment restored to, or any before it, such as 2026-11-20T16:00:00Z.
        restored_to: String,
    },
    /// Record that a review was made, in the deployment that the environment names.
    RecordReview {
        /// Which: access, security or processors.
        review: String,
    },
    /// Measure the matching on a file with known answers.
    Evaluate {
        /// What is measured.
        #[command(subcommand)]
        what: evaluate::Evaluate,
    },
}

/// Why a command could not do its work: what went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// Trouble from whatever went wrong and what was being done.
    pub fn new(doing: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

/// The store of the deployment that the environment's settings and credentials name, in the hands of a command.
///
/// # Errors
/// When a setting is missing or the tables cannot be reached: then it is said what is not done.
async fn deployed_store(command: &'static str, not_done: &str) -> Result<Store, Trouble> {
    let settings = Settings::from_environment(&Setting::STORE)
        .map_err(|error| Trouble::new("the deployment's settings are needed", error))?;
    let context = Context::new(settings, Connections::deployed().await);
    let store = context.store().await.map_err(|error| Trouble::new(not_done, error))?;
    Ok(store.standing_for(Acting::new(By::system(command), None)))
}

/// Runs a command to its end. The exit code is 0 when it did what it was asked to, and 1 otherwise.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    // A story has its own words for what the functions refuse.
    let quiet = if matches!(cli.command, Some(Command::Demo { .. })) { "off" } else { "warn" };
    // Standard error, so that what is printed for people can be read and piped.
    let logging = start_telemetry(cli.log.as_deref().unwrap_or(quiet), std::io::stderr)
        .map_err(|error| Trouble::new("--log takes a level such as info", error));
    let done = logging.and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| Trouble::new("the program cannot start", error))?.block_on(command(cli))
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            let _closed = writeln!(std::io::stderr(), "storeward: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn command(cli: Cli) -> Result<bool, Trouble> {
    let mut out = std::io::stdout();
    match cli.command {
        None => serve::serve(&cli.serve, &mut out).await.map(|()| true),
        Some(Command::Demo { json: true }) => demo::tell_machines(&mut out).await,
        Some(Command::Demo { json: false }) => demo::tell_people(&mut out).await,
        Some(Command::Deliver { event, port, same_id }) => {
            deliver::deliver(&event, port, same_id, &mut out).await
        }
        Some(Command::Retention { what_if, data, json }) => {
            retention::what_if(&what_if, data.as_deref(), json, &mut out).await.map(|()| true)
        }
        Some(Command::Policy { format }) => publish::print(&disclosure::policy(), format, &mut out),
        Some(Command::Posture { source, format }) => evidence::summarise(&source, format, &mut out),
        Some(Command::ReviewAccess { month, source, format }) => {
            evidence::review_access(&month, &source, format, &mut out)
        }
        Some(Command::VerifyLedger(args)) => verify::verify(&args, SystemClock.now(), &mut out),
        Some(Command::RecordReview { review }) => record::review(&review, &mut out).await,
        Some(Command::ReplayErasures { restored_to }) => {
            Box::pin(replay::replay(&restored_to, &mut out)).await
        }
        Some(Command::Evaluate { what }) => {
            evaluate::evaluate(&what, &mut std::io::BufWriter::new(out), &mut std::io::stderr())
        }
    }
}
