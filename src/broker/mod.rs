//! Everything said to RabbitMQ: AMQP connections, the management API, observing and applying.

pub mod amqp;
pub mod dead_letters;
pub mod feed;
pub mod management;

mod apply;
mod attach;
mod declare;
mod export;
mod extend;
mod glance;
mod ledger;
mod lock;
mod look_again;
mod observe;
mod observe_settings;
mod positions;
mod remake;
mod remove;
mod renew;
mod retire;
mod scope;
mod settings;
mod step;
mod survey;
mod tls;
mod unfinished;
mod wires;

pub use apply::apply;
pub(crate) use declare::field_table;
pub use declare::{DeclareError, Declarer};
pub use export::{Export, export, export_all};
pub use extend::extend;
pub use ledger::LedgerStore;
pub use lock::{Lock, LockError, LockSight, holder, look_at_lock};
pub use observe::{ObserveError, Sight, look, observe};
pub use positions::{PositionFile, Positions};
pub use renew::renew;
pub use retire::retire;
pub use scope::Scope;
pub use survey::{Sighted, Survey, survey};
pub use wires::Wires;
