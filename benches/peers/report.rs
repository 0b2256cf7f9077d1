//! Tables and plots, as files below `target/bench` and, where asked for, in the documentation.

use std::fs;
use std::path::PathBuf;

use crate::args::Args;
use crate::contestants::top;
use crate::room::Room;

/// Where results go.
pub(crate) struct Report {
    folder: PathBuf,
    docs: bool,
    /// On what it was measured.
    pub(crate) machine: String,
}

impl Report {
    /// A report on what is measured in that room.
    pub(crate) fn new(args: &Args, room: &Room) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        let machine = format!(
            "RabbitMQ {}, {cores} cores shared by broker and consumers, load {load} at the start",
            room.version()
        );
        eprintln!("{machine}");
        Self { folder: room.folder.clone(), docs: args.docs, machine }
    }

    /// Shows a piece of Markdown, keeps it, and puts it between its marks in `docs/performance.md`
    /// if results are wanted there.
    pub(crate) fn section(&self, name: &str, text: &str) {
        println!("\n{text}");
        fs::write(self.folder.join(format!("{name}.md")), text).expect("a file");
        if !self.docs {
            return;
        }
        let path = top().join("docs/performance.md");
        let page = fs::read_to_string(&path).expect("the page");
        let (from, to) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = page.split_once(&from).expect("the page has a mark for each part");
        let (_, after) = rest.split_once(&to).expect("the page has a mark for each end");
        fs::write(&path, format!("{before}{from}{text}{to}{after}")).expect("the page");
    }

    /// Keeps a plot, and puts it beside the page.
    pub(crate) fn plot(&self, name: &str, svg: &str) {
        let name = format!("{name}.svg");
        fs::write(self.folder.join(&name), svg).expect("a file");
        if self.docs {
            fs::write(top().join("docs").join(name), svg).expect("a file");
        }
    }
}

/// The value in the middle, or between the two in the middle; zero of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// The value below which that share of all lies.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a few thousand values"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// A whole number with its thousands apart.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
