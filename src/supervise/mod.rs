//! When to start, wait and stop: restart backoff, worker lifecycle, retry decisions. Pure.
