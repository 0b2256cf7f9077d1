//! Advice over what should be: one rule a row, each with a code, a reason and a mend. Pure.
