//! Log lines on stderr: short ones for people, or one JSON object a line for machines.
//!
//! Text of children and names from the broker end up in log lines, so nothing is written as it
//! came: control characters are escaped, and no line of a child can pose as a line of ours.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::apart;
use super::screen::AboveProgress;

/// The target of events that carry a line a child wrote. Their fields: `consumer`, `worker` (its
/// slot) and `stream` (`stderr` or `stdout`).
pub const CHILD_TARGET: &str = "warrener::child";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `12:03:04.123 INFO  billing: took over (pid 4711)`; local time.
    #[default]
    Text,
    /// One object a line; UTC.
    Json,
}

/// Neither `text` nor `json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no log format is called `{0}`\nhint: `text` and `json` are")]
pub struct BadLogFormat(String);

impl FromStr for LogFormat {
    type Err = BadLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(BadLogFormat(text.to_owned())),
        }
    }
}

/// Writes the last lines when it ends. Keep it for the life of the program.
#[derive(Debug)]
#[must_use = "lines that still wait are written when this ends"]
pub struct LogGuard(#[expect(dead_code, reason = "held for its end")] Option<WorkerGuard>);

/// Sends log lines to stderr from now on. Where the process already has a log, it keeps it.
///
/// With `apart` a thread of its own writes them, so that nobody waits for a reader who has stopped
/// reading; past some thousand lines, lines are dropped and counted. Without, a line is written
/// where it is said, in order with all else that goes to stderr.
///
/// `verbosity` counts `-v` up and `-q` down: 0 shows what an operator wants to know, 1 each step
/// of ours, 2 and more also the libraries' steps; −1 warnings and errors, −2 and less errors only.
/// `color` is for a terminal, and for text alone.
pub fn init(format: LogFormat, verbosity: i8, color: bool, apart: bool) -> LogGuard {
    let (subscriber, guard) = if apart {
        let (lines, guard) = apart::standard(format, AboveProgress);
        (subscriber(format, verbosity, color, lines), Some(guard))
    } else {
        (subscriber(format, verbosity, color, AboveProgress::default), None)
    };
    // The only error is that there is a log already: see above.
    let _ = tracing::subscriber::set_global_default(subscriber);
    LogGuard(guard)
}

pub(super) fn subscriber<W>(
    format: LogFormat,
    verbosity: i8,
    color: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A stderr that is gone must not end the process, and the default is to say so on stderr.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let base = tracing_subscriber::registry().with(filter(verbosity));
    match format {
        LogFormat::Text => {
            let text = Text { color, zone: TimeZone::system() };
            Box::new(base.with(layer.with_ansi(color).event_format(text).with_writer(writer)))
        }
        LogFormat::Json => Box::new(
            base.with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false)
                    .with_writer(writer),
            ),
        ),
    }
}

fn filter(verbosity: i8) -> Targets {
    let (ours, libraries) = match verbosity {
        // Libraries retell as warnings and errors what we report in our own words: every connection
        // that a broker drops, for one.
        ..=-2 => (LevelFilter::ERROR, LevelFilter::OFF),
        -1 => (LevelFilter::WARN, LevelFilter::OFF),
        0 => (LevelFilter::INFO, LevelFilter::OFF),
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        2 => (LevelFilter::TRACE, LevelFilter::DEBUG),
        3.. => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // The AMQP library calls errors what is an everyday matter to us, and said by us: a broker that
    // restarts, a channel that is refused.
    let amqp = if verbosity < 1 { LevelFilter::OFF } else { libraries };
    Targets::new().with_default(libraries).with_target("lapin", amqp).with_target("warrener", ours)
}

/// The short form.
struct Text {
    color: bool,
    zone: TimeZone,
}

impl Text {
    fn paint(&self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();

        let now = jiff::Timestamp::now().to_zoned(self.zone.clone());
        let dim = self.paint(Style::new().dimmed());
        write!(out, "{dim}{}{dim:#} ", now.strftime("%H:%M:%S%.3f"))?;

        let (word, style) = match *meta.level() {
            Level::ERROR => ("ERROR", AnsiColor::Red.on_default().bold()),
            Level::WARN => ("WARN ", AnsiColor::Yellow.on_default().bold()),
            Level::INFO => ("INFO ", AnsiColor::Green.on_default()),
            Level::DEBUG => ("DEBUG", AnsiColor::Blue.on_default()),
            Level::TRACE => ("TRACE", AnsiColor::Magenta.on_default()),
        };
        let style = self.paint(style);
        write!(out, "{style}{word}{style:#} ")?;

        let bold = self.paint(Style::new().bold());
        if let Some(consumer) = &fields.consumer {
            write!(out, "{bold}{consumer}")?;
            if let Some(worker) = &fields.worker {
                write!(out, "[{worker}]")?;
            }
            write!(out, "{bold:#}")?;
            if let Some(stream) = fields.stream.as_deref().filter(|stream| *stream != "stderr") {
                write!(out, " {stream}")?;
            }
            out.write_str(": ")?;
        } else if !meta.target().starts_with("warrener") {
            write!(out, "{dim}{}{dim:#}: ", meta.target())?;
        }
        writeln!(out, "{}{}{}", fields.message, fields.rest, fields.below)
    }
}

/// The fields of an event, sorted into their places and escaped.
#[derive(Default)]
struct Fields {
    message: String,
    consumer: Option<String>,
    worker: Option<String>,
    stream: Option<String>,
    rest: String,
    /// Lines of their own under the message: a `detail` that has several, and the `hint`.
    below: String,
}

impl Fields {
    fn put(&mut self, name: &str, value: &str) {
        if let "detail" | "hint" = name {
            let label = if name == "hint" { "hint: " } else { "" };
            for line in value.lines() {
                self.below.push_str("\n    ");
                self.below.push_str(label);
                self.below.push_str(&escape(line));
            }
            return;
        }
        let value = escape(value);
        match name {
            "message" => self.message = value,
            "consumer" => self.consumer = Some(value),
            "worker" => self.worker = Some(value),
            "stream" => self.stream = Some(value),
            _ => {
                self.rest.push(' ');
                self.rest.push_str(name);
                self.rest.push('=');
                self.rest.push_str(&value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // A value with blanks is quoted, so that the next field can be told from it; the message
        // and the names that stand at the front need no quotes.
        match field.name() {
            name @ ("message" | "consumer" | "worker" | "stream" | "detail" | "hint") => {
                self.put(name, value);
            }
            name if value.is_empty() || value.contains([' ', '"']) => {
                self.put(name, &format!("\"{}\"", value.replace('"', "\\\"")));
            }
            name => self.put(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // Context in Display, cause in source: a line shows the whole chain.
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            // Writing into a String cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.record_str(field, &text);
    }
}

/// The text with everything visible that could move a cursor, colour a terminal, start a new line
/// or reorder what stands beside it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_reordering(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Line and paragraph separators, and the marks that override the direction of text.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
