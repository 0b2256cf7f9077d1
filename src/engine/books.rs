//! The books of a run, closed at its end.

use crate::telemetry::Registry;

/// Logs what has become of the messages of each consumer: an imbalance is a bug of ours.
pub(super) fn close_books(registry: &Registry) {
    for (name, status) in registry.status().consumers {
        let settled = &status.settled;
        tracing::debug!(
            consumer = %name,
            received = status.received,
            acked = settled.acked,
            retried = settled.retried,
            requeued = settled.requeued,
            released = settled.released,
            duplicates = settled.duplicates,
            dead_lettered = settled.dead_lettered.values().sum::<u64>(),
            discarded = settled.discarded.values().sum::<u64>(),
            in_flight = status.in_flight,
            lost_to_channel = status.lost_to_channel,
            stale_replies = status.stale_replies,
            protocol_errors = status.protocol_errors,
            restarts = status.restarts.values().sum::<u64>(),
            log_lines_dropped = status.log_lines_dropped,
            imbalance = status.imbalance().unsigned_abs(),
            "the books of this run"
        );
    }
}
