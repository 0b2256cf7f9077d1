//! `warrener plan`: what apply would do.
//!
//! Exit codes: 0 nothing to do; 2 changes; 1 an error, or a conflict, which no apply would get past.
//! Where part of the broker cannot be seen there may be something to do, so that is 2 as well.

use std::io;
use std::path::PathBuf;

use super::exit::Exit;
use super::screen::Screen;
use crate::broker::survey;
use crate::model::Desired;
use crate::plan::{Plan, render};

/// Show what `apply` would do; exit 0 when there is nothing to do, 2 when there are changes.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Observes the broker, compares, prints the plan.
pub(super) async fn run(
    args: &PlanArgs,
    desired: &Desired,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let plan = match survey(desired).await {
        Ok(survey) => survey.plan,
        Err(error) => {
            screen.error(&error, error.hint().as_deref())?;
            return Ok(Exit::Failed);
        }
    };
    show(&plan, desired, args.json, screen)
}

/// Prints a plan and says how a command that only shows it ends.
pub(super) fn show(
    plan: &Plan,
    desired: &Desired,
    json: bool,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    if json {
        serde_json::to_writer_pretty(&mut *screen.out, &plan.document(&desired.stack))?;
        writeln!(screen.out)?;
    } else {
        write!(screen.out, "{}", render(plan, screen.place, screen.style))?;
    }
    screen.out.flush()?;
    Ok(if plan.conflicts().next().is_some() {
        Exit::Failed
    } else if plan.is_empty() {
        Exit::Done
    } else {
        Exit::Changes
    })
}
