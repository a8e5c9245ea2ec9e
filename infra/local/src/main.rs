//! The program of the local run: reads the command line. What the commands do is the library's.

use std::process::ExitCode;

use clap::Parser;
use storeward_local::commands::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
