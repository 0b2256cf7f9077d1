//! What is × what should be → ordered changes with reasons. Pure.
