//! `warrener top`: the status, again and again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::super::exit::Exit;
use super::table::render;
use super::whom::{Trouble, Whom, report};
use crate::admin::{Client, Report};

/// Another screen, without a cursor and without wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Show the status of a running supervisor again and again, until `q`.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    #[command(flatten)]
    whom: Whom,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=60))]
    every: u8,
}

/// The terminal while it shows something else than lines; as before when this is dropped.
struct Stage {
    before: Option<Termios>,
}

impl Stage {
    fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = if stdin.is_terminal() {
            let before = tcgetattr(&stdin)?;
            let mut keys = before.clone();
            // A key comes at once and is not shown. Ctrl-C stays a signal.
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(&stdin, OptionalActions::Now, &keys)?;
            Some(before)
        } else {
            None
        };
        let stage = Self { before };
        print(ENTER)?;
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = print(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Shows until told to stop, or until the supervisor ends.
pub(in crate::cli) async fn run(args: TopArgs) -> Exit {
    match show(args).await {
        Ok(()) => Exit::Done,
        Err(trouble) => trouble.report(),
    }
}

async fn show(args: TopArgs) -> Result<(), Trouble> {
    if !io::stdout().is_terminal() {
        return Err(Trouble::new("this is no terminal")
            .hint("`warrener status` shows it once, `--json` for programs"));
    }
    let mut client = args.whom.reach().await?;
    let mut last = report(&mut client).await?;
    let failed = |error: io::Error| Trouble::new(format!("the terminal cannot be used: {error}"));
    let stage = Stage::enter().map_err(failed)?;
    let ended = watch(&mut client, &mut last, Duration::from_secs(args.every.into())).await;
    drop(stage);
    // What was seen last stays.
    let _ = print(&render(&last, Timestamp::now()));
    ended
}

async fn watch(client: &mut Client, last: &mut Report, every: Duration) -> Result<(), Trouble> {
    let failed = |error: io::Error| Trouble::new(format!("the terminal cannot be used: {error}"));
    let mut end = [
        signal(SignalKind::interrupt()).map_err(failed)?,
        signal(SignalKind::terminate()).map_err(failed)?,
        signal(SignalKind::hangup()).map_err(failed)?,
    ];
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut keys = keys();
    let mut look = tokio::time::interval(every);
    let [interrupt, terminate, hangup] = &mut end;
    loop {
        draw(last).map_err(failed)?;
        tokio::select! {
            _ = look.tick() => *last = report(client).await?,
            _ = resized.recv() => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            Some(key) = keys.recv() => if matches!(key, b'q' | b'Q' | 0x1b) { return Ok(()) },
        }
    }
}

/// The keys that are pressed. The thread that reads them ends with the program: nothing else ends a
/// read.
fn keys() -> mpsc::Receiver<u8> {
    let (send, keys) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut key = [0];
        while io::stdin().read_exact(&mut key).is_ok() && send.blocking_send(key[0]).is_ok() {}
    });
    keys
}

/// Draws over what is there, so that nothing flickers.
fn draw(report: &Report) -> io::Result<()> {
    let rows = tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row.max(2)));
    let text = render(report, Timestamp::now());
    let lines: Vec<&str> = text.lines().collect();
    let mut screen = String::from("\x1b[H");
    for line in lines.iter().take(rows - 1) {
        screen += line;
        screen += "\x1b[K\r\n";
    }
    screen += "\x1b[J\x1b[2mq to leave\x1b[0m";
    let hidden = lines.len().saturating_sub(rows - 1);
    if hidden > 0 {
        let _ = write!(screen, "\x1b[2m, {hidden} more lines\x1b[0m");
    }
    print(&screen)
}
