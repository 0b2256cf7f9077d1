//! From YAML texts to what should be, or to every problem at once. Pure.
