//! The wire with a child: deliveries to bytes, bytes to replies, and the ledger of what is in flight. Pure.
