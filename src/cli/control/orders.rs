//! `warrener pause`, `resume`, `scale`, `restart`, `reload`, `drain`.

use std::io::IsTerminal as _;
use std::num::NonZeroU16;
use std::time::Duration;

use super::super::exit::Exit;
use super::super::spinner::spinner;
use super::whom::{PATIENCE, Trouble, Whom, report, strange};
use crate::admin::{Answer, AskError, Client, Report, Request};
use crate::engine::ReloadOutcome;
use crate::model::{BadName, ConsumerName, suggest};
use crate::telemetry::ConsumerStatus;

/// How often is looked whether a supervisor has ended.
const LOOK: Duration = Duration::from_millis(200);

/// A supervisor.
#[derive(Clone, Debug, clap::Args)]
pub struct WhomArgs {
    #[command(flatten)]
    whom: Whom,
}

/// A consumer of a supervisor.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsumerArgs {
    /// Its name in the file.
    #[arg(value_name = "CONSUMER", value_parser = name)]
    consumer: ConsumerName,
    #[command(flatten)]
    whom: Whom,
}

/// A consumer, and how many workers it is to have.
#[derive(Clone, Debug, clap::Args)]
pub struct ScaleArgs {
    /// Its name in the file.
    #[arg(value_name = "CONSUMER", value_parser = name)]
    consumer: ConsumerName,
    /// How many workers, or `file` for what the file says.
    #[arg(value_name = "WORKERS", value_parser = workers)]
    workers: Workers,
    #[command(flatten)]
    whom: Whom,
}

fn name(text: &str) -> Result<ConsumerName, BadName> {
    ConsumerName::new(text)
}

/// How many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workers {
    File,
    Count(NonZeroU16),
}

/// As many workers as a file may ask for.
const MOST: u16 = 1024;

fn workers(text: &str) -> Result<Workers, String> {
    if text == "file" {
        return Ok(Workers::File);
    }
    match text.parse::<NonZeroU16>() {
        Ok(count) if count.get() <= MOST => Ok(Workers::Count(count)),
        _ => Err(format!(
            "a number from 1 to {MOST}, or `file` (to have none at work, use `warrener pause`)"
        )),
    }
}

/// `warrener pause`.
pub(in crate::cli) async fn pause(args: ConsumerArgs) -> Exit {
    let ConsumerArgs { consumer, whom } = args;
    let request = Request::Pause { consumer: consumer.clone() };
    order(&whom, &consumer, request, |status| match status.in_flight {
        0 => "paused".to_owned(),
        1 => "paused; 1 message that it holds is still to be answered".to_owned(),
        held => format!("paused; {held} messages that it holds are still to be answered"),
    })
    .await
}

/// `warrener resume`.
pub(in crate::cli) async fn resume(args: ConsumerArgs) -> Exit {
    let ConsumerArgs { consumer, whom } = args;
    let request = Request::Resume { consumer: consumer.clone() };
    order(&whom, &consumer, request, |_| "takes messages again".to_owned()).await
}

/// `warrener restart`.
pub(in crate::cli) async fn restart(args: ConsumerArgs) -> Exit {
    let ConsumerArgs { consumer, whom } = args;
    let request = Request::Restart { consumer: consumer.clone() };
    order(&whom, &consumer, request, |_| "its workers are being replaced, one by one".to_owned())
        .await
}

/// `warrener scale`.
pub(in crate::cli) async fn scale(args: ScaleArgs) -> Exit {
    let ScaleArgs { consumer, workers, whom } = args;
    let (count, said) = match workers {
        Workers::File => (None, "as many workers as the file says".to_owned()),
        Workers::Count(count) if count == NonZeroU16::MIN => (Some(count), "1 worker".to_owned()),
        Workers::Count(count) => (Some(count), format!("{count} workers")),
    };
    let request = Request::Scale { consumer: consumer.clone(), workers: count };
    order(&whom, &consumer, request, |_| said).await
}

/// Gives an order for one consumer, and says that it is being carried out.
async fn order(
    whom: &Whom,
    consumer: &ConsumerName,
    request: Request,
    said: impl FnOnce(&ConsumerStatus) -> String,
) -> Exit {
    let ordered = async {
        let mut client = whom.reach().await?;
        match client.ask(request, Some(PATIENCE)).await? {
            Answer::Done => {}
            Answer::NoConsumer { known } => return Err(no_consumer(consumer, &known)),
            other => return Err(strange(&other)),
        }
        let report = report(&mut client).await?;
        Ok(said(report.status.consumers.get(consumer).unwrap_or(&ConsumerStatus::default())))
    };
    match ordered.await {
        Ok(said) => {
            anstream::println!("{consumer}: {said}");
            Exit::Done
        }
        Err(trouble) => trouble.report(),
    }
}

fn no_consumer(consumer: &ConsumerName, known: &[ConsumerName]) -> Trouble {
    let trouble = Trouble::new(format!("the supervisor runs no consumer `{consumer}`"));
    let names = known.iter().map(ConsumerName::as_str);
    match suggest(consumer.as_str(), names) {
        Some(other) => trouble.hint(format!("did you mean `{other}`?")),
        None if known.is_empty() => trouble.hint("it runs none"),
        None => {
            let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            trouble.hint(format!("it runs {}", names.join(", ")))
        }
    }
}

/// `warrener reload`.
pub(in crate::cli) async fn reload(args: WhomArgs) -> Exit {
    let waiting = spinner("reading the files, then the broker, then the workers");
    let outcome = async {
        let mut client = args.whom.reach().await?;
        // As long as the new workers take to be there.
        match client.ask(Request::Reload, None).await? {
            Answer::Reloaded { outcome } => Ok(outcome),
            other => Err(strange(&other)),
        }
    }
    .await;
    waiting.finish_and_clear();
    match outcome {
        Ok(outcome) => say(&outcome),
        Err(trouble) => trouble.report(),
    }
}

fn say(outcome: &ReloadOutcome) -> Exit {
    match outcome {
        ReloadOutcome::Unchanged => {
            anstream::println!("unchanged: the files say the same as before");
            Exit::Done
        }
        ReloadOutcome::Applied { summary } => {
            anstream::println!("applied: {summary}");
            Exit::Done
        }
        ReloadOutcome::Partly { summary, refused } => {
            anstream::println!("partly applied: {summary}");
            for (consumer, why) in refused {
                anstream::eprintln!("error: the old version of `{consumer}` stays: {why}");
            }
            Exit::Partly
        }
        ReloadOutcome::Rejected { problems } => {
            anstream::eprint!("{problems}");
            Trouble::new("the files cannot be used; everything goes on as it is").report()
        }
        ReloadOutcome::Refused { why } => {
            Trouble::new(format!("{why}\nthe change is refused; everything goes on as it is"))
                .report()
        }
        ReloadOutcome::Waiting { why } => {
            anstream::println!(
                "waiting: the files are in order, the broker is not to be had: {why}"
            );
            anstream::eprintln!("  hint: it goes on by itself, see `warrener status`");
            Exit::Partly
        }
        ReloadOutcome::Superseded => {
            anstream::println!("superseded: the files have changed again, or it is about to end");
            Exit::Partly
        }
    }
}

/// `warrener drain`.
pub(in crate::cli) async fn drain(args: WhomArgs) -> Exit {
    match drained(&args.whom).await {
        Ok(report) => {
            let settled = report.status.settled().total();
            anstream::println!(
                "ended: stack `{}`, {settled} messages settled in its life",
                report.stack
            );
            Exit::Done
        }
        Err(trouble) => trouble.report(),
    }
}

/// Has a supervisor end, waits for that, and gives how it stood last.
async fn drained(whom: &Whom) -> Result<Report, Trouble> {
    let mut client: Client = whom.reach().await?;
    let mut last = report(&mut client).await?;
    match client.ask(Request::Drain, Some(PATIENCE)).await? {
        Answer::Done => {}
        other => return Err(strange(&other)),
    }
    let shown = std::io::stderr().is_terminal();
    let waiting = spinner("no new messages; what is held is answered first");
    loop {
        match client.ask(Request::Status, Some(PATIENCE)).await {
            Ok(Answer::Status { report }) => last = *report,
            Ok(other) => return Err(strange(&other)),
            // That is what was waited for.
            Err(AskError::Ended | AskError::Failed(_)) => break,
            Err(error) => return Err(error.into()),
        }
        if shown {
            let held: u64 = last.status.consumers.values().map(|one| one.in_flight).sum();
            waiting.set_message(format!("no new messages; {held} are still to be answered"));
        }
        tokio::time::sleep(LOOK).await;
    }
    waiting.finish_and_clear();
    Ok(last)
}
