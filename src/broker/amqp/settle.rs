//! Settlements on their way to the broker.

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};

use crate::protocol::SettleOp;

/// Queues settlements on a channel, in order.
///
/// A settlement has no answer in AMQP 0-9-1. lapin queues the frame when its future is first
/// polled and completes it when the frame has been written; awaiting that costs a round of the
/// event loop a message and tells nothing that the next call would not.
pub(super) fn settle(channel: &Channel, ops: &[SettleOp]) -> Result<(), String> {
    for op in ops {
        let polled = match *op {
            SettleOp::Ack { tag, multiple } => {
                channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never()
            }
            SettleOp::Requeue { tag, multiple } => {
                channel.basic_nack(tag, BasicNackOptions { multiple, requeue: true }).now_or_never()
            }
            SettleOp::Reject { tag } => {
                channel.basic_reject(tag, BasicRejectOptions { requeue: false }).now_or_never()
            }
        };
        if let Some(Err(error)) = polled {
            return Err(error.to_string());
        }
    }
    Ok(())
}
