//! What can be typed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice, Parser, Subcommand};

use super::apply::ApplyArgs;
use super::check::Check;
use super::control::{ConsumerArgs, ScaleArgs, StatusArgs, TopArgs, WhomArgs};
use super::dev::DevArgs;
use super::drift::DriftArgs;
use super::export::Export;
use super::import::Import;
use super::plan::PlanArgs;
use super::run::RunArgs;
use crate::telemetry::LogFormat;

/// Keeps RabbitMQ and its consumers the way a YAML file says they should be.
#[derive(Debug, Parser)]
#[command(name = "warrener", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command, each with a variable of the environment.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How log lines are written
    #[arg(long, global = true, value_parser = log_format(), default_value = "text", env = "WARRENER_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// When to use colour; `auto` respects `NO_COLOR` and asks for a terminal
    #[arg(long, global = true, value_enum, default_value = "auto", env = "WARRENER_COLOR")]
    pub color: ColorChoice,
    /// Say less: errors only
    #[arg(short, long, global = true, env = "WARRENER_QUIET", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, env = "WARRENER_VERBOSE", action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the files and report every problem, without a broker
    Check(Check),
    /// Show what `apply` would do; exit 0 when there is nothing to do, 2 when there are changes
    Plan(PlanArgs),
    /// Make the broker what the files say
    Apply(ApplyArgs),
    /// Show how the broker differs from the files, and what nobody declares; exit 0 or 2
    Drift(DriftArgs),
    /// Reconcile, run the consumers and follow the files, until stopped by a signal
    Run(RunArgs),
    /// Show how a running supervisor stands
    Status(StatusArgs),
    /// Show the status of a running supervisor again and again
    Top(TopArgs),
    /// Have a consumer take no messages until `resume`; its processes stay and answer what they hold
    Pause(ConsumerArgs),
    /// Have a consumer take messages again
    Resume(ConsumerArgs),
    /// Have a consumer run so many workers, whatever the file says
    Scale(ScaleArgs),
    /// Replace the workers of a consumer, one by one, each old one when its new one is there
    Restart(ConsumerArgs),
    /// Have a running supervisor read its files again, and show what becomes of it
    Reload(WhomArgs),
    /// Have a running supervisor take no more messages, answer what it holds, and end
    Drain(WhomArgs),
    /// Turn definitions of RabbitMQ (JSON) into a file; exit 3 when something does not come along
    Import(Import),
    /// Turn what a broker has into a file, or into definitions; exit 3 as with `import`
    Export(Export),
    /// Run a stack on a private throw-away RabbitMQ that goes when this ends
    Dev(DevArgs),
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["text", "json"])
        .map(|word| if word == "json" { LogFormat::Json } else { LogFormat::Text })
}

impl Global {
    /// How much to say: 0 by default, more for each `-v`, only errors for `-q`.
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -2 } else { i8::try_from(self.verbose).unwrap_or(i8::MAX) }
    }
}
