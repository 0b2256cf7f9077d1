//! The management API over HTTP, with lenient JSON types of our own.
