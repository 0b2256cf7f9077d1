//! Keeps broker and processes in step with the files.
