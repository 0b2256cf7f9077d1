//! Reads the files of a stack safely and notices when they change.
