//! Starts, feeds, signals and reaps child processes.
