//! Keeps broker and processes in step with the files.
//!
//! # Theory of operation
//!
//! One task, the *engine* ([`Engine::run`]), owns everything that lives longer than a message. It
//! waits for a command, a change of the files, the reconcile timer or a worker's request, and acts
//! on one at a time:
//!
//! ```text
//!  signals, dev, tests ──commands──▶ ┌────────┐ ◀──"look at the broker"── workers
//!  files::Watcher ───────changed───▶ │ engine │ ──▶ reconcile (topology connection, management)
//!  reconcile timer ────────tick────▶ └────────┘ ──▶ crews: start, replace, drain
//!                                        │ owns
//!                    crew of a consumer ─┴─▶ worker, worker, …      one task each
//! ```
//!
//! A *crew* is all workers of a consumer; its task decides how many there are, of which version of
//! the file, and whether any.
//!
//! A *worker* is one child process, one channel and one ledger. Its task selects over all that can
//! happen to it and then decides without waiting; the pure [`crate::supervise::Lifecycle`] says
//! what a start, an exit or a stop leads to. Its *desk* is its side towards the broker:
//!
//! ```text
//!            ┌──────────────────────── worker ────────────────────────┐
//!  queue ──▶ │ desk: subscription ─▶ waiting ─▶ ledger ─▶ encoder ──▶ │ ──▶ child's stdin
//!  broker ◀─ │ desk: settle ◀─ flush ◀─ ledger ◀──────── decoder ◀─── │ ◀── child's stdout
//!            │ desk: failed ─▶ publisher ─confirm─▶ ledger            │ ◀── child's stderr → log
//!            └────────────────────────────────────────────────────────┘
//! ```
//!
//! # A reload
//!
//! Read, parse, resolve; look at the broker and plan; on any problem say so and keep everything as
//! it runs. Only then act: what is new is declared, and the crews are told. A changed consumer has its
//! workers replaced one by one, each old one draining when its new one consumes. A consumer whose spec
//! is equal is not touched. Should a new worker never come up, the version before stays. That takes
//! its time, during which the engine goes on; it says what became of the reload when all of it is
//! known.
//!
//! # Stopping
//!
//! Three tokens per worker: `retire` (ask for no more messages, answer what was delivered, end), `drain`
//! (give back what no child has, answer the rest within the grace time, end) and `kill` (now).
//! Dropping the engine kills: no worker task outlives it, and no child outlives its task.

mod ack_limits;
mod announce;
mod auto;
mod books;
mod child_log;
mod context;
mod conversation;
mod crew;
mod deadlines;
mod dedupe;
mod desk;
mod easing;
mod exec;
mod exec_pipes;
mod failures;
mod hush;
mod in_place;
mod intake;
mod keeper;
mod kept;
mod links;
mod output;
mod parting;
mod reconcile;
mod requests;
mod run;
mod seat;
mod stream;
mod trials;
mod worker;

pub use context::Context;
pub use crew::{CrewOrder, CrewRequest};
pub use requests::{EngineRequest, ReloadOutcome};
pub use run::{Command, Engine, Loader, Options, Outcome};
