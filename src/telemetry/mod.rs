//! Log set-up and the status snapshot.
