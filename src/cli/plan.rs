//! `warrener plan`: what apply would do.
//!
//! Exit codes: 0 nothing to do; 2 changes; 1 an error, or a conflict, which no apply would get past.
//! Where part of the broker cannot be seen there may be something to do, so that is 2 as well.

use std::borrow::Borrow;
use std::io;
use std::path::PathBuf;

use lapin::Connection;

use super::exit::Exit;
use super::screen::Screen;
use crate::broker::management::{ManagementClient, ManagementError, Timeouts};
use crate::broker::{ObserveError, Sight, look};
use crate::model::Desired;
use crate::plan::{Plan, diff, render};

/// Show what `apply` would do; exit 0 when there is nothing to do, 2 when there are changes.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Observes the broker, compares, prints the plan. `connect` makes an AMQP connection, and is
/// called only where the management API does not serve.
pub async fn run<C: Borrow<Connection>>(
    args: &PlanArgs,
    desired: &Desired,
    connect: impl AsyncFnOnce() -> Result<C, String>,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let Looked { plan, .. } = match prepare(desired, connect).await {
        Ok(looked) => looked,
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

/// A plan, and the ways to the broker that were found open on the way to it.
pub(super) struct Looked<C> {
    pub(super) plan: Plan,
    pub(super) management: Option<ManagementClient>,
    pub(super) connection: Option<C>,
}

pub(super) async fn prepare<C: Borrow<Connection>>(
    desired: &Desired,
    connect: impl AsyncFnOnce() -> Result<C, String>,
) -> Result<Looked<C>, ObserveError> {
    let management = ManagementClient::new(&desired.broker.management, Timeouts::default())
        .map_err(|error: ManagementError| ObserveError::Management(error))?;
    let Sight { observed, through_management, connection } =
        look(&desired.topology, management.as_ref(), connect).await?;
    let plan = diff(&desired.topology, &observed);
    Ok(Looked { plan, management: management.filter(|_| through_management), connection })
}
