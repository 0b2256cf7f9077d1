//! `warrener status`: how a running supervisor stands.

use std::io::Write as _;

use jiff::Timestamp;

use super::super::exit::Exit;
use super::table::render;
use super::whom::{Trouble, Whom, report};

/// Show how a running supervisor stands.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    whom: Whom,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks once and prints the answer.
pub(in crate::cli) async fn run(args: StatusArgs) -> Exit {
    match show(args).await {
        Ok(()) => Exit::Done,
        Err(trouble) => trouble.report(),
    }
}

async fn show(args: StatusArgs) -> Result<(), Trouble> {
    let report = report(&mut args.whom.reach().await?).await?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&report);
        json.map_err(|error| Trouble::new(error.to_string()))? + "\n"
    } else {
        render(&report, Timestamp::now())
    };
    // A reader that has gone away is no reason to complain.
    let _ = anstream::stdout().write_all(text.as_bytes());
    Ok(())
}
