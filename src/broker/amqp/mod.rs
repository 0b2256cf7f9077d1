//! Connections as our own state machine; deliveries, settling, publishing.
