//! Whose turn it is to apply: the lock of the stack, taken for one command.

use std::io;
use std::time::{Duration, Instant};

use super::screen::Screen;
use crate::broker::management::ManagementClient;
use crate::broker::{Lock, LockError, LockSight, holder, look_at_lock};
use crate::model::Desired;

/// How often a lock that somebody else has is looked at, and tried where it cannot be seen.
const LOOK: Duration = Duration::from_millis(500);
const TRY: Duration = Duration::from_secs(3);

/// Whether this command may apply.
pub(super) enum Turn {
    /// It has the lock.
    Ours(Lock),
    /// The broker gives this user no lock, or cannot be reached; whoever applies finds out.
    Unlocked,
    /// Somebody else has it.
    Theirs,
}

/// Tries to take the lock.
pub(super) async fn take(desired: &Desired, screen: &mut Screen<'_>) -> io::Result<Turn> {
    Ok(match Lock::take(desired, &holder("apply")).await {
        Ok(lock) => Turn::Ours(lock),
        Err(LockError::Held) => Turn::Theirs,
        Err(LockError::Denied(why)) => {
            writeln!(screen.err, "warning: applying without a lock: {why}")?;
            writeln!(
                screen.err,
                "  hint: let this user configure and read the queue `warrener.lock.{}`",
                desired.stack
            )?;
            Turn::Unlocked
        }
        Err(LockError::Connect(_) | LockError::Lost(_)) => Turn::Unlocked,
    })
}

/// Waits for the lock; says who has it, and `None` where they have it for too long.
pub(super) async fn wait(
    desired: &Desired,
    management: Option<&ManagementClient>,
    limit: Duration,
    screen: &mut Screen<'_>,
) -> io::Result<Option<Turn>> {
    let start = Instant::now();
    let mut said = false;
    let mut who = None;
    loop {
        let sight = look_at_lock(desired, management).await;
        if let LockSight::Taken(by) = &sight {
            who.clone_from(by);
        }
        if !said {
            said = true;
            writeln!(
                screen.err,
                "waiting for the lock of the stack: {} has it",
                name(who.as_ref())
            )?;
        }
        if !matches!(sight, LockSight::Taken(_)) {
            let turn = take(desired, screen).await?;
            if !matches!(turn, Turn::Theirs) {
                return Ok(Some(turn));
            }
        }
        if start.elapsed() >= limit {
            let (stack, name) = (&desired.stack, name(who.as_ref()));
            writeln!(
                screen.err,
                "error: {name} has the lock of stack `{stack}`; nothing was changed"
            )?;
            writeln!(
                screen.err,
                "  hint: what runs applies the files that it was given: change those, or stop it, or let them say `reconcile: {{ mode: check }}`; for another `apply`, wait longer with `--lock-wait`"
            )?;
            return Ok(None);
        }
        tokio::time::sleep(if matches!(sight, LockSight::Unseen) { TRY } else { LOOK }).await;
    }
}

fn name(who: Option<&String>) -> &str {
    who.map_or("another one", String::as_str)
}
