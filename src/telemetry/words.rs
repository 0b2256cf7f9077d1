//! The closed sets of words that counters are kept by, each spelled once.
//!
//! They are also the values of metric labels and of the `warrener-reason` header, so a word once
//! released keeps its spelling.

/// Declares a closed set: the enum, `ALL` in order, `as_str`, and how it is shown and serialized.
macro_rules! words {
    (
        $(#[$doc:meta])* $type:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word, in `snake_case`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                let known = Self::ALL.iter().find(|known| known.as_str() == word);
                known.copied().ok_or_else(|| {
                    serde::de::Error::custom(format_args!("`{}` is no known word", word.escape_debug()))
                })
            }
        }
    };
}

words! {
    /// Why a message was dead-lettered or discarded.
    Reason {
        /// The child said that it can never succeed.
        Rejected = "rejected",
        /// It failed, and the consumer has no retries.
        Failed = "failed",
        /// It failed once more after its last retry.
        Exhausted = "exhausted",
        /// It took longer than the consumer's `timeout`, and no retry was left.
        Timeout = "timeout",
        /// Children died over it, and no retry was left.
        Crashed = "crashed",
        /// Its body is longer than the consumer's `max_message`.
        TooLarge = "too_large",
        /// The consumer's protocol cannot carry it: a `lines` body with the delimiter inside.
        Unencodable = "unencodable",
    }
}

words! {
    /// Why a child was started again.
    RestartReason {
        /// It ended by itself, whatever the code.
        Exit = "exit",
        /// It was killed by a signal that we did not send.
        Signal = "signal",
        /// The kernel killed it because memory ran out; known only where memory is accounted for by
        /// control groups.
        Oom = "oom",
        /// It held a message for too long, and we ended it.
        Timeout = "timeout",
        /// It broke the protocol too often, or its reply line had no end.
        Protocol = "protocol",
        /// It could not be started at all.
        Spawn = "spawn",
        /// It did not say in time that it was ready.
        NotReady = "not_ready",
        /// It had done its share, or asked to be replaced.
        Recycle = "recycle",
        /// It had a message of a strictly ordered queue whose channel was lost.
        ChannelLost = "channel_lost",
    }
}

words! {
    /// What a connection to the broker is for. Consuming and publishing never share one: a broker
    /// that blocks a publisher stops everything written on its connection, acks included.
    ConnectionRole {
        /// Deliveries and their settlements.
        Consume = "consume",
        /// Retries, dead letters and output, with confirms.
        Publish = "publish",
        /// Declaring and probing, where a failed declaration may cost the channel.
        Topology = "topology",
    }
}

/// What became of one message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done, and acked.
    Acked,
    /// Failed; it waits in a retry queue, and the original is acked.
    Retried,
    /// The child gave it back: it is in its queue again.
    Requeued,
    /// We gave it back because its worker stopped or died: it is in its queue again.
    Released,
    /// It is where dead letters go.
    DeadLettered(Reason),
    /// Acked unseen: one of its key was handled before.
    Duplicate,
    /// It is gone, as the file allows (`discard: true`).
    Discarded(Reason),
}
