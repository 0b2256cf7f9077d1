//! `warrener plan`: what apply would do.
//!
//! Exit codes: 0 nothing to do; 2 changes; 1 an error, or a conflict or rail, which no apply would get past.
//! Where part of the broker cannot be seen there may be something to do, so that is 2 as well.

use std::io;
use std::path::PathBuf;

use super::exit::Exit;
use super::saved;
use super::screen::Screen;
use crate::broker::survey;
use crate::model::Desired;
use crate::plan::{Consent, Plan, render};

/// Show what `apply` would do; exit 0 when there is nothing to do, 2 when there are changes.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Save the plan, for `apply --plan` to perform it exactly.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) consent: ConsentArgs,
}

/// What a person agrees to beyond creating and updating.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ConsentArgs {
    /// Delete what this stack owns and the files no longer declare; also `reconcile.prune` there.
    #[arg(long)]
    pub(super) prune: bool,
    /// Delete also queues with messages or consumers, and more than 30 % of what the stack owns.
    #[arg(long)]
    pub(super) force: bool,
    /// Make anew, with its bindings, what differs and cannot be changed, where it is empty and
    /// unused; also `on_conflict: replace` there.
    #[arg(long)]
    pub(super) allow_replace: bool,
}

impl ConsentArgs {
    /// What the command line and the files agree to together.
    pub(super) fn with(self, desired: &Desired) -> Consent {
        Consent {
            prune: self.prune || desired.reconcile.prune,
            force: self.force,
            replace: self.allow_replace,
        }
    }
}

/// Observes the broker, compares, prints the plan.
pub(super) async fn run(
    args: &PlanArgs,
    desired: &Desired,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let plan = match survey(desired, args.consent.with(desired)).await {
        Ok(survey) => survey.plan,
        Err(error) => {
            screen.error(&error, error.hint().as_deref())?;
            return Ok(Exit::Failed);
        }
    };
    let exit = show(&plan, desired, args.json, screen)?;
    // A plan that nobody may perform is not worth keeping.
    if let Some(path) = args.out.as_ref().filter(|_| exit != Exit::Failed)
        && !saved::write(path, &plan, desired, &args.files, screen)?
    {
        return Ok(Exit::Failed);
    }
    Ok(exit)
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
    Ok(if plan.is_refused() {
        Exit::Failed
    } else if plan.is_empty() {
        Exit::Done
    } else {
        Exit::Changes
    })
}
