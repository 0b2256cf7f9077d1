//! Everything said to RabbitMQ: AMQP connections, the management API, observing and applying.

pub mod amqp;
pub mod dead_letters;
pub mod feed;
pub mod management;

mod apply;
mod declare;
mod export;
mod ledger;
mod observe;
mod remove;
mod survey;

pub use apply::apply;
pub(crate) use declare::field_table;
pub use declare::{DeclareError, Declarer};
pub use export::{Export, export};
pub use ledger::LedgerStore;
pub use observe::{ObserveError, Sight, look, observe, observe_over_amqp};
pub use survey::{Survey, dial, survey};
