//! A plan, and what came of it, for people.

use std::fmt::Write as _;

use anstyle::AnsiColor;

use super::approved::{Plan, Summary};
use super::change::{Action, Change, Difference, Target};
use super::compare;
use super::drift::Drift;
use super::owned::{Kept, Veto};
use super::prune::ASK;
use super::report::{ApplyReport, Failure, Remaining};
use crate::model::{ArgValue, Arguments, Credential, Origin, Setting, VhostName};

/// Failures shown one by one. A lost connection fails every later step for the same reason.
const FAILURES_SHOWN: usize = 20;

/// Objects named in the line about what is no longer declared.
const KEPT_SHOWN: usize = 20;

/// How a text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether it has colours, as ANSI sequences.
    pub colour: bool,
}

impl Action {
    fn sign(self) -> (char, AnsiColor) {
        match self {
            Self::Create => ('+', AnsiColor::Green),
            Self::Update => ('~', AnsiColor::Yellow),
            Self::Replace => ('±', AnsiColor::Magenta),
            Self::Migrate => ('»', AnsiColor::Magenta),
            Self::Delete => ('-', AnsiColor::Red),
            Self::Verify => ('?', AnsiColor::Cyan),
            Self::Conflict => ('!', AnsiColor::Red),
        }
    }
}

impl Difference {
    /// Both values, the files being called `place`.
    pub(super) fn in_words(&self, place: &str) -> String {
        format!(
            "{} is {} on the broker, {} in {place}",
            self.attribute,
            value(self.broker.as_ref()),
            value(self.file.as_ref())
        )
    }
}

/// The plan: one line a step in the order of execution, what cannot be known, and a sum. `place`
/// tells where in the files a resource was declared.
pub fn render(plan: &Plan, place: &dyn Fn(Origin) -> String, style: Style) -> String {
    let mut text = String::new();
    body(&mut text, plan, place, style);
    if plan.is_empty() {
        text.push_str("nothing to do: the broker is as the files say\n");
    } else {
        let _ = writeln!(text, "{}", sum(plan.summary()));
    }
    text
}

/// How a broker differs: the steps that would mend it, what is no longer declared, what nobody
/// declares, and a sum.
pub fn render_drift(drift: &Drift, place: &dyn Fn(Origin) -> String, style: Style) -> String {
    let Drift { plan, strangers } = drift;
    let mut text = String::new();
    body(&mut text, plan, place, style);
    for id in strangers {
        let _ = writeln!(text, "undeclared: {}", plan.named(id));
    }
    if drift.is_none() {
        text.push_str("no drift: the broker is as the files say, and has nothing else\n");
    } else {
        let (differ, left, others) = (plan.changes().len(), plan.kept().len(), strangers.len());
        let _ = writeln!(
            text,
            "{differ} not as declared, {left} no longer declared, {others} that nobody declares"
        );
    }
    text
}

fn body(text: &mut String, plan: &Plan, place: &dyn Fn(Origin) -> String, style: Style) {
    steps(text, plan, place, style);
    if let Some(gap) = plan.gap() {
        let subjects: Vec<_> = gap.subjects.iter().map(|subject| subject.words()).collect();
        let _ = writeln!(text, "cannot be known: {}: {}", subjects.join(", "), gap.reason);
        let _ = writeln!(text, "  hint: {}", gap.hint);
    }
    kept(text, plan);
    for note in plan.notes() {
        let _ = writeln!(text, "note: {note}");
    }
    if let Some(elsewhere) = plan.ledger_elsewhere() {
        let _ = writeln!(text, "{elsewhere}");
    }
    if let Some(Veto { reason, hint }) = plan.veto() {
        let _ = writeln!(text, "refused: {reason}");
        hint_line(text, Some(hint));
    }
}

/// What came of applying: failures with their reasons, what is still undone, and a sum.
pub fn render_report(
    report: &ApplyReport,
    place: &dyn Fn(Origin) -> String,
    style: Style,
) -> String {
    let mut text = String::new();
    for Failure { change, reason, hint } in report.failed.iter().take(FAILURES_SHOWN) {
        line(&mut text, change.action, &title(change, report.home.as_ref()), style);
        if change.action == Action::Delete {
            let _ = writeln!(text, "  not done: {reason}");
        } else {
            let place = place(change.target.origin());
            let _ = writeln!(text, "  not done: {reason} ({place})");
        }
        hint_line(&mut text, hint.as_deref());
    }
    if report.failed.len() > FAILURES_SHOWN {
        let _ = writeln!(text, "and {} more not done", report.failed.len() - FAILURES_SHOWN);
    }
    match &report.remaining {
        Remaining::Nothing => {}
        Remaining::Plan(plan) => {
            text.push_str("still to do when the broker was looked at again:\n");
            steps(&mut text, plan, place, style);
        }
        Remaining::Unseen(why) => {
            let _ = writeln!(text, "the broker was not looked at again: {why}");
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if let Some(why) = &report.unwritten {
        let _ = writeln!(text, "the ledger of what the stack owns could not be written: {why}");
    }
    let _ = write!(text, "{}", report.done.in_words());
    if !report.failed.is_empty() {
        let _ = write!(text, ", {} not done", report.failed.len());
    }
    text.push('\n');
    text
}

fn steps(text: &mut String, plan: &Plan, place: &dyn Fn(Origin) -> String, style: Style) {
    for change in plan.changes() {
        step(text, change, plan.home.as_ref(), place, style);
    }
}

fn step(
    text: &mut String,
    change: &Change,
    home: Option<&VhostName>,
    place: &dyn Fn(Origin) -> String,
    style: Style,
) {
    let title = title(change, home);
    match change.action {
        Action::Create | Action::Delete => line(text, change.action, &title, style),
        Action::Verify => {
            line(text, change.action, &format!("{title}: {}", change.reason), style);
        }
        Action::Update | Action::Replace | Action::Migrate => {
            let differences: Vec<_> = change
                .differences
                .iter()
                .map(|Difference { attribute, broker, file }| {
                    format!("{attribute} {} → {}", value(broker.as_ref()), value(file.as_ref()))
                })
                .collect();
            let why =
                if differences.is_empty() { change.reason.clone() } else { differences.join(", ") };
            let how = match change.action {
                Action::Replace => ", made anew with its bindings",
                Action::Migrate => ", made anew with its messages and bindings",
                _ => "",
            };
            line(text, change.action, &format!("{title}: {why}{how}"), style);
        }
        Action::Conflict => {
            let place = place(change.target.origin());
            let mut why = change.differences.iter().map(|difference| difference.in_words(&place));
            let first = why.next().unwrap_or_else(|| format!("{} ({place})", change.reason));
            line(text, change.action, &format!("{title}: {first}"), style);
            for more in why {
                let _ = writeln!(text, "  {more}");
            }
            hint_line(text, change.hint.as_deref());
        }
    }
}

fn line(text: &mut String, action: Action, words: &str, style: Style) {
    let (sign, colour) = action.sign();
    if style.colour {
        let colour = colour.on_default();
        let _ = writeln!(text, "{colour}{sign} {words}{colour:#}");
    } else {
        let _ = writeln!(text, "{sign} {words}");
    }
}

fn hint_line(text: &mut String, hint: Option<&str>) {
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
}

/// The resource in a few words, with its vhost where that is not the home of the stack, and with
/// what matters most about one that is to be created.
fn title(change: &Change, home: Option<&VhostName>) -> String {
    let target = &change.target;
    let mut title = format!("{} {}", target.kind().replace('_', " "), target.name());
    if let (Some(vhost), Some(home)) = (target.vhost(), home)
        && vhost != home
        && !matches!(target, Target::Setting(Setting::Vhost(_)))
    {
        let _ = write!(title, " in vhost {vhost}");
    }
    let about = match target {
        Target::Binding(binding) => {
            let mut about = Vec::new();
            if !binding.routing_key.as_str().is_empty() {
                about.push(format!("key {}", binding.routing_key));
            }
            if !binding.arguments.is_empty() {
                about.push(table(&binding.arguments));
            }
            about
        }
        Target::Setting(Setting::User(_)) if change.action == Action::Delete => {
            vec!["the broker closes its connections".into()]
        }
        _ if change.action != Action::Create => Vec::new(),
        Target::Exchange(exchange) => {
            let mut about = vec![exchange.kind.to_string()];
            about.extend((!exchange.durable).then(|| "not durable".into()));
            about.extend(exchange.auto_delete.then(|| "auto-delete".into()));
            about.extend(exchange.internal.then(|| "internal".into()));
            about.extend(pairs(&exchange.arguments));
            about
        }
        Target::Queue(queue) => {
            let mut about = vec![queue.kind.to_string()];
            about.extend((!queue.durable).then(|| "not durable".into()));
            about.extend(queue.auto_delete.then(|| "auto-delete".into()));
            about.extend(pairs(&queue.arguments));
            about
        }
        Target::Policy(policy) => {
            let pattern = printable(&policy.pattern);
            let mut about = vec![format!("{} matching {pattern}", policy.apply_to.as_str())];
            about.extend((policy.priority != 0).then(|| format!("priority {}", policy.priority)));
            about.extend(pairs(&policy.definition));
            about
        }
        Target::Setting(setting) => {
            let mut about = setting.attributes();
            about.retain(|_, value| !is_empty(value));
            let mut about: Vec<_> = pairs(&compare::shown(setting.kind(), about)).collect();
            if let Setting::User(user) = setting {
                about.push(match user.credential {
                    Credential::Unsaid => "no password".into(),
                    Credential::Password(_) | Credential::Hash(_) => "with a password".into(),
                });
            }
            about
        }
    };
    if !about.is_empty() {
        let _ = write!(title, " ({})", about.join(", "));
    }
    title
}

fn is_empty(value: &ArgValue) -> bool {
    match value {
        ArgValue::Str(text) => text.is_empty(),
        ArgValue::List(values) => values.is_empty(),
        _ => false,
    }
}

fn pairs(arguments: &Arguments) -> impl Iterator<Item = String> {
    arguments.iter().map(|(key, argument)| format!("{key} {}", value(Some(argument))))
}

fn table(arguments: &Arguments) -> String {
    ArgValue::Map(arguments.clone()).to_string()
}

/// What is owned, no longer declared and stays: one line for all that only needs to be asked for,
/// and a line with its reason for each of the others.
fn kept(text: &mut String, plan: &Plan) {
    let (asked, others): (Vec<_>, Vec<_>) =
        plan.kept().iter().partition(|kept| kept.hint.as_deref() == Some(ASK));
    let most = if plan.consent().prune { others.len() } else { KEPT_SHOWN };
    for Kept { id, reason, hint } in others.iter().take(most) {
        let _ = writeln!(text, "kept: {}: {reason}", plan.named(id));
        hint_line(text, hint.as_deref());
    }
    if others.len() > most {
        let _ = writeln!(text, "kept: {} more", others.len() - most);
    }
    if !asked.is_empty() {
        let mut shown: Vec<_> =
            asked.iter().take(KEPT_SHOWN).map(|kept| plan.named(&kept.id)).collect();
        if asked.len() > KEPT_SHOWN {
            shown.push(format!("and {} more", asked.len() - KEPT_SHOWN));
        }
        let shown = shown.join(", ");
        let _ = writeln!(text, "owned and no longer declared: {shown}; {ASK}");
    }
}

impl Summary {
    /// What was done, such as `3 created, 0 updated, 1 deleted`.
    pub fn in_words(self) -> String {
        let Self { create, update, replace, migrate, delete, verify, .. } = self;
        let mut words = format!("{create} created, {update} updated");
        for (count, word) in [(replace, "replaced"), (migrate, "migrated"), (delete, "deleted")] {
            if count > 0 {
                let _ = write!(words, ", {count} {word}");
            }
        }
        if verify > 0 {
            let _ = write!(words, ", {verify} declared again");
        }
        words
    }
}

fn sum(Summary { create, update, replace, migrate, delete, verify, conflict }: Summary) -> String {
    let mut sum = format!("{create} to create, {update} to update, {conflict} in conflict");
    for (count, word) in [(replace, "replace"), (migrate, "migrate"), (delete, "delete")] {
        if count > 0 {
            let _ = write!(sum, ", {count} to {word}");
        }
    }
    if verify > 0 {
        let _ = write!(sum, ", {verify} cannot be known");
    }
    sum
}

/// A value as the file would spell it; text that could be taken for something else is quoted, and
/// the broker's control characters are escaped.
fn value(value: Option<&ArgValue>) -> String {
    match value {
        None => "absent".into(),
        Some(ArgValue::Str(text)) if plain(text) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic())
        && !matches!(text, "true" | "false" | "null" | "absent")
        && text.chars().all(|c| c.is_alphanumeric() || "._-/:@".contains(c))
}

fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
