//! `warrener apply`: make the broker what the files say.
//!
//! Exit codes: 0 done; 3 partly done; 1 nothing was changed: an error, a conflict, or the answer to
//! the question was no. `--dry-run` ends as `warrener plan` does.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::Duration;

use super::bar::bar;
use super::exit::Exit;
use super::plan::{ConsentArgs, show};
use super::screen::Screen;
use super::turn::{self, Turn};
use crate::broker::{self, Survey};
use crate::model::{Desired, parse_duration};
use crate::plan::{Approved, SavedPlan, render, render_report};

/// Make the broker what the files say.
#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required_unless_present = "plan", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Perform the plan that `plan --out` has saved, from the same files unless others are given;
    /// refused where it would not be the same any more. Nobody is asked.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["dry_run", "prune", "force", "allow_replace"]
    )]
    pub(super) plan: Option<PathBuf>,
    /// Do not ask. Nobody is asked either where input or output is no terminal.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Only show the plan, as `warrener plan` does.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long to wait while another one applies this stack, such as `30s` or `5m`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub(super) lock_wait: Duration,
    #[command(flatten)]
    pub(super) consent: ConsentArgs,
}

/// Observes, compares, shows the plan, asks where `answers` can be asked, performs, looks again,
/// reports.
///
/// `answers` is the person at the terminal; `None` asks nobody.
pub(super) async fn run(
    args: &ApplyArgs,
    saved: Option<&SavedPlan>,
    desired: &Desired,
    answers: Option<&mut (dyn BufRead + Send)>,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let consent = saved.map_or_else(|| args.consent.with(desired), |saved| saved.consent);
    // Under the lock from the first look on, so that what is shown is what is done.
    let mut turn = if args.dry_run { Turn::Unlocked } else { turn::take(desired, screen).await? };
    let mut survey = match broker::survey(desired, consent).await {
        Ok(survey) => survey,
        Err(error) => {
            screen.error(&error, error.hint().as_deref())?;
            return Ok(Exit::Failed);
        }
    };
    let due = !survey.plan.is_empty() && !survey.plan.is_refused();
    if matches!(turn, Turn::Theirs) && due {
        let waited = turn::wait(desired, survey.management.as_ref(), args.lock_wait, screen);
        match waited.await? {
            Some(ours) => turn = ours,
            None => return Ok(Exit::Failed),
        }
        // Whoever had it has applied something.
        survey = match broker::survey(desired, consent).await {
            Ok(survey) => survey,
            Err(error) => {
                screen.error(&error, error.hint().as_deref())?;
                return Ok(Exit::Failed);
            }
        };
    }
    let fault = saved.and_then(|saved| saved.matches(&survey.plan, desired).err());
    let exit = match fault {
        Some(fault) => {
            screen.error(&fault, Some(fault.hint()))?;
            Exit::Failed
        }
        None => {
            let answers = answers.filter(|_| saved.is_none());
            under_lock(args, desired, survey, &turn, answers, screen).await?
        }
    };
    if let Turn::Ours(lock) = turn {
        lock.release().await;
    }
    Ok(exit)
}

async fn under_lock(
    args: &ApplyArgs,
    desired: &Desired,
    survey: Survey,
    turn: &Turn,
    answers: Option<&mut (dyn BufRead + Send)>,
    screen: &mut Screen<'_>,
) -> io::Result<Exit> {
    let Survey { plan, sighted, management, store, wires } = survey;
    if args.dry_run {
        return show(&plan, desired, false, screen);
    }
    if plan.is_empty() && !plan.is_refused() {
        // What is there already as declared is owned from now on.
        if !matches!(turn, Turn::Theirs)
            && let Err(why) = store.bring(plan.ledger_before(), &plan.ledger_after(&[])).await
        {
            writeln!(screen.err, "warning: the ledger could not be written: {why}")?;
        }
        return show(&plan, desired, false, screen);
    }
    write!(screen.out, "{}", render(&plan, screen.place, screen.style))?;
    screen.out.flush()?;
    let approved = match Approved::new(plan) {
        Ok(approved) => approved,
        Err(refused) => {
            screen.error(&refused, refused.0.veto().map(|veto| veto.hint.as_str()))?;
            return Ok(Exit::Failed);
        }
    };
    if let Some(answers) = answers.filter(|_| !args.yes)
        && !consents(answers, screen)?
    {
        writeln!(screen.err, "nothing was changed")?;
        return Ok(Exit::Failed);
    }
    let wires = match turn {
        Turn::Ours(lock) => wires.under(lock),
        Turn::Unlocked | Turn::Theirs => wires,
    };
    let home = &desired.broker.vhost;
    if !approved.plan().creates_vhost(home)
        && let Err(error) = wires.reach(home, management.as_ref()).await
    {
        screen.error(&error, Some(error.hint()))?;
        return Ok(Exit::Failed);
    }

    // Draws on standard error, and only where that is a terminal.
    let bar = bar(approved.plan().changes().len() as u64);
    let report = broker::apply(
        &approved,
        &desired.topology,
        sighted,
        &wires,
        management.as_ref(),
        &store,
        &|dealt_with| bar.set_position(dealt_with as u64),
    )
    .await;
    bar.finish_and_clear();
    wires.close().await;

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
