//! What can be typed.

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use super::check::Check;

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
    #[arg(long, global = true, value_enum, default_value = "text", env = "WARRENER_LOG_FORMAT")]
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

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the files and report every problem, without a broker
    Check(Check),
}
