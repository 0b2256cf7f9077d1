//! Looking at the broker, planning and applying, while running.

use std::fmt::Write as _;

use crate::broker::amqp::{ConnectError, Wire, connect};
use crate::broker::management::{ManagementClient, Timeouts};
use crate::broker::{ObserveError, Sight, apply, look};
use crate::config::SourceMap;
use crate::model::{BrokerSpec, Desired, ReconcileMode};
use crate::plan::{ApplyReport, Approved, Plan, Style, diff, render, render_report};
use crate::telemetry::ConnectionRole;

/// Why the broker is not as the files say.
#[derive(Debug, thiserror::Error)]
pub(super) enum Shortfall {
    /// It could not be reached; later it may.
    #[error("{0}")]
    Unreachable(String),
    /// A person has to decide or mend something.
    #[error("{0}")]
    Refused(String),
}

/// What looking at the broker has come to.
pub(super) enum Reconciled {
    /// Not looked: the files say so.
    Off,
    /// As the files say already.
    Unchanged,
    /// Made so.
    Applied(ApplyReport),
    /// It differs, and the files say to leave it.
    Drifted(Plan),
}

/// A connection to the first endpoint that answers; the last error where none does.
pub(super) async fn connect_any(broker: &BrokerSpec, name: &str) -> Result<Wire, ConnectError> {
    let mut last = None;
    for endpoint in &broker.endpoints {
        match connect(endpoint, ConnectionRole::Topology, name).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("a broker has at least one endpoint"))
}

/// Compares and, where the mode says so, applies.
pub(super) async fn reconcile(
    desired: &Desired,
    sources: &SourceMap,
) -> Result<Reconciled, Shortfall> {
    if desired.reconcile.mode == ReconcileMode::Off {
        return Ok(Reconciled::Off);
    }
    let name = desired.stack.as_str();
    let management = ManagementClient::new(&desired.broker.management, Timeouts::default())
        .map_err(|error| Shortfall::Refused(error.to_string()))?;
    let dial = async || connect_any(&desired.broker, name).await;
    let sight: Sight<Wire> =
        look(&desired.topology, management.as_ref(), async || {
            dial().await.map_err(|error| error.to_string())
        })
        .await
        .map_err(|error| {
            let text = with_hint(&error.to_string(), error.hint().as_deref());
            match error {
                ObserveError::NoWay { .. } => Shortfall::Unreachable(text),
                _ => Shortfall::Refused(text),
            }
        })?;
    let place = |origin| sources.locate(origin).to_string();
    let style = Style::default();
    let plan = diff(&desired.topology, &sight.observed);
    if plan.is_empty() {
        return Ok(Reconciled::Unchanged);
    }
    if desired.reconcile.mode == ReconcileMode::Check {
        return Ok(Reconciled::Drifted(plan));
    }
    let approved = Approved::new(plan).map_err(|refused| {
        let plan = render(&refused.0, &place, style);
        Shortfall::Refused(format!("{refused}\n{plan}"))
    })?;
    let wire = match sight.connection {
        Some(wire) => wire,
        None => dial().await.map_err(|error| {
            Shortfall::Unreachable(with_hint(&error.to_string(), Some(error.hint())))
        })?,
    };
    let client = management.as_ref().filter(|_| sight.through_management);
    let report =
        apply(&approved, &desired.topology, &wire.connection, client, &|_| {}).await;
    wire.close().await;
    if report.is_complete() {
        Ok(Reconciled::Applied(report))
    } else {
        Err(Shortfall::Refused(render_report(&report, &place, style)))
    }
}

fn with_hint(text: &str, hint: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(hint) = hint {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}
