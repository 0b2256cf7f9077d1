//! What to measure, and how much of it.

use std::path::PathBuf;

/// One table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Messages of 256 B, acked one by one.
    Throughput,
    /// Children that flush each line, at two sizes.
    Flushing,
    /// Messages of 64 KiB in protocol `frames`.
    Frames,
    /// A process a message.
    Exec,
    /// From publish to ack at 1,000 messages a second.
    Latency,
    /// 500 consumers with 2 workers each.
    Scale,
    /// Memory over many messages, and with large ones.
    Soak,
    /// 10,000 queues and 10,000 bindings.
    Topology,
}

/// All parts but `soak` and `topology`, which take longest, are measured where none is named.
const USUAL: [Part; 6] =
    [Part::Throughput, Part::Flushing, Part::Frames, Part::Exec, Part::Latency, Part::Scale];

/// Measures Warrener beside its peers.
#[derive(Debug, clap::Parser)]
pub(crate) struct Args {
    /// What to measure; may be repeated.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Messages for each contestant and round; others derive from it.
    #[arg(long, default_value_t = 50_000)]
    pub(crate) messages: u32,
    /// Rounds, in each of which all contestants have their turn; the median counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Only contestants whose names have that in them; may be repeated.
    #[arg(long)]
    pub(crate) only: Vec<String>,
    /// Messages of the soak.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) soak: u64,
    /// Queues of the large topology.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) queues: usize,
    /// Write the results into `docs/performance.md`.
    #[arg(long)]
    pub(crate) docs: bool,
    /// The root directory of another system, whose RabbitMQ is to be used.
    #[arg(long, env = "WARRENER_TEST_RABBITMQ_ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// What is to be measured.
    pub(crate) fn parts(&self) -> Vec<Part> {
        if self.parts.is_empty() { USUAL.to_vec() } else { self.parts.clone() }
    }

    /// Whether a contestant of that name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }
}
