//! A report as text for a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp};

use crate::admin::Report;
use crate::telemetry::{
    ConfigStatus, ConnectionRole, ConnectionState, ConsumerState, ConsumerStatus, Role, Status,
    TopologyStatus, WorkerState, WorkerStatus,
};

const GOOD: Style = AnsiColor::Green.on_default();
const SOSO: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const QUIET: Style = Style::new().dimmed();
const LOUD: Style = Style::new().bold();
const PLAIN: Style = Style::new();

/// The longest text of others that is shown, characters.
const LONGEST: usize = 160;

/// The digits of a digest that tell it from others.
const DIGITS: usize = 12;

/// Everything worth knowing at a glance.
pub(super) fn render(report: &Report, now: Timestamp) -> String {
    let status = &report.status;
    let mut text = String::new();
    let (up, pid, version) = (span(report.uptime), report.pid, &report.version);
    line(
        &mut text,
        &format!("{LOUD}{}{LOUD:#}", report.stack),
        &format!("up {up}, process {pid}, warrener {version}"),
    );
    line(&mut text, "files", &files(&status.config, now));
    line(&mut text, "broker", &connections(status));
    line(&mut text, "topology", &topology(&status.topology, now));
    if let Some(folder) = &status.control_groups {
        let memory = if status.memory_by_group { " (limits memory as well)" } else { "" };
        line(&mut text, "groups", &format!("{}{memory}", cut(folder)));
    }
    text.push('\n');
    text.push_str(&consumers(report));
    let notes = notes(status, now);
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes);
    }
    text
}

fn line(text: &mut String, name: &str, what: &str) {
    // Writing into a String cannot fail, here and below.
    let width = anstream::adapter::strip_str(name).to_string().chars().count();
    let _ = writeln!(text, "{name}{:1$}  {what}", "", 8_usize.saturating_sub(width));
}

fn files(config: &ConfigStatus, now: Timestamp) -> String {
    let mut text = match &config.in_force {
        Some(in_force) => {
            let digest: String = in_force.digest.chars().take(DIGITS).collect();
            format!("{digest}, in force for {}", age(&in_force.since, now))
        }
        None => format!("{SOSO}not in force yet{SOSO:#}"),
    };
    if config.last_reload_ok == Some(false) {
        let at = config.last_reload_at.as_deref().unwrap_or_default();
        let _ = write!(text, "; {BAD}the last change was refused {} ago{BAD:#}", age(at, now));
        for line in config.message.trim_end().lines() {
            let _ = write!(text, "\n          {}", cut(line));
        }
    }
    text
}

fn connections(status: &Status) -> String {
    if status.connections.is_empty() {
        return format!("{SOSO}not connected yet{SOSO:#}");
    }
    let one = |(role, state): (&ConnectionRole, &ConnectionState)| {
        let (style, word, why) = match state {
            ConnectionState::Connecting => (SOSO, "connecting", ""),
            ConnectionState::Up => (GOOD, "up", ""),
            ConnectionState::Blocked { why } => (SOSO, "blocked", why.as_str()),
            ConnectionState::Down { why } => (BAD, "down", why.as_str()),
        };
        let colon = if why.is_empty() { "" } else { ": " };
        format!("{role} {style}{word}{style:#}{colon}{}", cut(why))
    };
    let of = |roles: &BTreeMap<_, _>| roles.iter().map(one).collect::<Vec<_>>().join(", ");
    let several = status.connections.len() > 1;
    let vhosts = status.connections.iter().map(|(vhost, roles)| {
        if several { format!("{}: {}", cut(vhost.as_str()), of(roles)) } else { of(roles) }
    });
    vhosts.collect::<Vec<_>>().join("\n          ")
}

fn topology(topology: &TopologyStatus, now: Timestamp) -> String {
    let drift = match topology.drift {
        None if topology.role == Role::None => return "not looked at".to_owned(),
        None => format!("{SOSO}not seen{SOSO:#}"),
        Some(0) => format!("{GOOD}as the files say{GOOD:#}"),
        Some(1) => format!("{SOSO}1 difference left{SOSO:#}"),
        Some(count) => format!("{SOSO}{count} differences left{SOSO:#}"),
    };
    let looked = match &topology.last_look_at {
        Some(at) => format!(" (looked {} ago)", age(at, now)),
        None => String::new(),
    };
    let role = match &topology.role {
        Role::None => String::new(),
        Role::Applies => "; this supervisor applies".to_owned(),
        Role::StandsBy { holder: Some(holder) } => {
            format!("; {} applies, this one stands by", cut(holder))
        }
        Role::StandsBy { holder: None } => "; another one applies, this one stands by".to_owned(),
        Role::Checks => "; nobody applies (`reconcile.mode: check`)".to_owned(),
    };
    let healed = match topology.healed {
        0 => String::new(),
        1 => "; mended once".to_owned(),
        many => format!("; mended {many} times"),
    };
    drift + &looked + &role + &healed
}

/// A value of the table, and how it looks.
type Cell = (String, Style);

fn consumers(report: &Report) -> String {
    let consumers = &report.status.consumers;
    if consumers.is_empty() {
        return "no consumers\n".to_owned();
    }
    let dropped = consumers.values().any(|one| !one.settled.discarded.is_empty());
    let duplicates = consumers.values().any(|one| one.settled.duplicates > 0);
    let heads = [
        "consumer",
        "state",
        "workers",
        "in flight",
        "in/s",
        "out/s",
        "acked",
        "retried",
        "back",
        "dead",
        "dropped",
        "seen before",
        "restarts",
    ];
    let mut rows: Vec<Vec<Cell>> = vec![heads.map(|head| (head.to_owned(), QUIET)).into()];
    for (name, one) in consumers {
        let (style, word) = state(&one.state);
        let rates = report.rates.get(name).copied().unwrap_or_default();
        let settled = &one.settled;
        let dead: u64 = settled.dead_lettered.values().sum();
        let gone: u64 = settled.discarded.values().sum();
        let restarts: u64 = one.restarts.values().sum();
        let count = |count: u64| (count.to_string(), if count == 0 { QUIET } else { PLAIN });
        rows.push(vec![
            (name.to_string(), LOUD),
            (word.to_owned(), style),
            workers(one),
            count(one.in_flight),
            rate(rates.received),
            rate(rates.settled),
            count(settled.acked),
            count(settled.retried),
            count(settled.requeued + settled.released),
            if dead > 0 { (dead.to_string(), BAD) } else { count(0) },
            if gone > 0 { (gone.to_string(), BAD) } else { count(0) },
            count(settled.duplicates),
            count(restarts),
        ]);
    }
    if !duplicates {
        for row in &mut rows {
            row.remove(11);
        }
    }
    if !dropped {
        for row in &mut rows {
            row.remove(10);
        }
    }
    aligned(&rows)
}

/// Words stand to the left, numbers to the right.
fn aligned(rows: &[Vec<Cell>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].0.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (column, ((cell, style), width)) in row.iter().zip(&widths).enumerate() {
            let pad = width - cell.chars().count();
            let _ = match column {
                0 => write!(text, "{style}{cell}{style:#}{:pad$}", ""),
                1 => write!(text, "  {style}{cell}{style:#}{:pad$}", ""),
                _ => write!(text, "  {:pad$}{style}{cell}{style:#}", ""),
            };
        }
        text.push('\n');
    }
    text
}

fn state(state: &ConsumerState) -> (Style, &'static str) {
    match state {
        ConsumerState::Starting => (SOSO, "starting"),
        ConsumerState::Running => (GOOD, "running"),
        ConsumerState::Waiting { .. } => (SOSO, "waiting"),
        ConsumerState::Standby => (QUIET, "standby"),
        ConsumerState::Paused => (SOSO, "paused"),
        ConsumerState::Down { .. } => (BAD, "down"),
        ConsumerState::Draining => (SOSO, "draining"),
        ConsumerState::Stopped => (QUIET, "stopped"),
    }
}

/// How many of its workers take messages; with a star where somebody has scaled it.
fn workers(one: &ConsumerStatus) -> Cell {
    let running = one.workers.iter().filter(|worker| worker.state == WorkerState::Running).count();
    let all = one.workers.len();
    let star = if one.scaled.is_some() { "*" } else { "" };
    (format!("{running}/{all}{star}"), if running == all { PLAIN } else { SOSO })
}

fn rate(rate: f64) -> Cell {
    let style = if rate == 0.0 { QUIET } else { PLAIN };
    let text = match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate if rate < 10_000.0 => format!("{rate:.0}"),
        rate => format!("{:.1}k", rate / 1000.0),
    };
    (text, style)
}

/// What a table has no room for.
fn notes(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    for (name, one) in &status.consumers {
        let why = match &one.state {
            ConsumerState::Waiting { why } | ConsumerState::Down { why } => Some(why),
            _ => None,
        };
        if let Some(why) = why {
            let (style, word) = state(&one.state);
            let _ = writeln!(text, "{name}: {style}{word}{style:#}: {}", cut(why));
        }
        let place = |worker: &WorkerStatus| Some(format!("{} ({})", worker.position?, worker.slot));
        let places: Vec<_> = one.workers.iter().filter_map(place).collect();
        if !places.is_empty() {
            let _ = writeln!(text, "{name}: next offset (of worker) {}", places.join(", "));
        }
        if let Some(workers) = one.scaled {
            let workers =
                if workers == 1 { "1 worker".into() } else { format!("{workers} workers") };
            let _ = writeln!(
                text,
                "{name}: * scaled to {workers} by hand, until `warrener scale {name} file` or another `workers` in the file"
            );
        }
        if let Some(last) = one.last_error.as_ref().filter(|last| Some(&last.what) != why) {
            let _ = writeln!(
                text,
                "{name}: last error {} ago: {}",
                age(&last.at, now),
                cut(&last.what)
            );
        }
    }
    text
}

/// The first line of a text of others, not too long, and without what would move the cursor.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.chars().count() <= LONGEST && text.lines().count() <= 1 {
        return shown;
    }
    shown.chars().take(LONGEST).collect::<String>() + " …"
}

fn age(at: &str, now: Timestamp) -> String {
    match at.parse::<Timestamp>() {
        Ok(at) => span(now.duration_since(at).max(SignedDuration::ZERO).as_secs().unsigned_abs()),
        Err(_) => "?".to_owned(),
    }
}

/// `59s`, `12m 3s`, `5h 1m`, `3d 4h`.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds}s"),
        () if hours == 0 => format!("{minutes}m {}s", seconds % 60),
        () if days == 0 => format!("{hours}h {}m", minutes % 60),
        () => format!("{days}d {}h", hours % 24),
    }
}
