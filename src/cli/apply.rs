//! `warrener apply`: make the broker what the files say.
//!
//! Exit codes: 0 done; 3 partly done; 1 nothing was changed: an error, a conflict, or the answer to
//! the question was no. `--dry-run` ends as `warrener plan` does.

use std::borrow::Borrow;
use std::io::{self, BufRead};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use lapin::Connection;

use super::exit::Exit;
use super::plan::{Looked, prepare, show};
use super::screen::Screen;
use crate::broker;
use crate::model::Desired;
use crate::plan::{Approved, render, render_report};

/// Make the broker what the files say.
#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do not ask. Nobody is asked either where input or output is no terminal.
    #[arg(long, short)]
    pub yes: bool,
    /// Only show the plan, as `warrener plan` does.
    #[arg(long)]
    pub dry_run: bool,
}

/// Observes, compares, shows the plan, asks where `answers` can be asked, performs, looks again,
/// reports.
///
/// `connect` makes an AMQP connection. `answers` is the person at the terminal; `None` asks nobody.
pub async fn run<C: Borrow<Connection>>(
    args: &ApplyArgs,
    desired: &Desired,
    connect: impl AsyncFn() -> Result<C, String>,
    answers: Option<&mut (dyn BufRead + Send)>,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let Looked { plan, management, connection } = match prepare(desired, &connect).await {
        Ok(looked) => looked,
        Err(error) => {
            screen.error(&error, error.hint().as_deref())?;
            return Ok(Exit::Failed);
        }
    };
    if args.dry_run || plan.is_empty() {
        return show(&plan, desired, false, screen);
    }
    write!(screen.out, "{}", render(&plan, screen.place, screen.style))?;
    screen.out.flush()?;
    let approved = match Approved::new(plan) {
        Ok(approved) => approved,
        Err(refused) => {
            screen.error(&refused, None)?;
            return Ok(Exit::Failed);
        }
    };
    if let Some(answers) = answers.filter(|_| !args.yes)
        && !consents(answers, screen)?
    {
        writeln!(screen.err, "nothing was changed")?;
        return Ok(Exit::Failed);
    }
    let connection = match connection {
        Some(connection) => connection,
        None => match connect().await {
            Ok(connection) => connection,
            Err(error) => {
                writeln!(screen.err, "error: {error}")?;
                return Ok(Exit::Failed);
            }
        },
    };

    // Draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::new(approved.plan().changes().len() as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let report = broker::apply(
        &approved,
        &desired.topology,
        connection.borrow(),
        management.as_ref(),
        &|dealt_with| bar.set_position(dealt_with as u64),
    )
    .await;
    bar.finish_and_clear();

    write!(screen.out, "{}", render_report(&report, screen.place, screen.style))?;
    screen.out.flush()?;
    Ok(if report.is_complete() {
        Exit::Done
    } else if report.changed {
        Exit::Partly
    } else {
        writeln!(screen.err, "error: nothing was changed")?;
        Exit::Failed
    })
}

fn consents(answers: &mut dyn BufRead, screen: &mut Screen<'_>) -> io::Result<bool> {
    write!(screen.err, "apply this? [y/N] ")?;
    screen.err.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
