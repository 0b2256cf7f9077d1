//! `warrener drift`: how the broker differs from the files, and what nobody declares.
//!
//! Exit codes: 0 no difference; 2 differences, conflicts among them; 1 an error. Where part of the
//! broker cannot be seen it may differ, so that is 2 as well.

use std::io;
use std::path::PathBuf;

use super::exit::Exit;
use super::screen::Screen;
use crate::broker::survey;
use crate::model::Desired;
use crate::plan::{Consent, Drift, render_drift};

/// Show how the broker differs from the files, and what nobody declares; exit 0 or 2.
#[derive(Clone, Debug, clap::Args)]
pub struct DriftArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Print it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Observes the broker, compares, prints what differs.
pub(super) async fn run(
    args: &DriftArgs,
    desired: &Desired,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let drift = match survey(desired, Consent::default()).await {
        Ok(survey) => Drift::new(survey.plan, &desired.topology, &survey.sighted.observed),
        Err(error) => {
            screen.error(&error, error.hint().as_deref())?;
            return Ok(Exit::Failed);
        }
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *screen.out, &drift.document(&desired.stack))?;
        writeln!(screen.out)?;
    } else {
        write!(screen.out, "{}", render_drift(&drift, screen.place, screen.style))?;
    }
    screen.out.flush()?;
    Ok(if drift.is_none() { Exit::Done } else { Exit::Changes })
}
