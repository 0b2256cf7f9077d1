//! Whatever stands in a file: it is read, or every problem of it is shown, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warrener_fuzz::{Outside, resolve};

fuzz_target!(|text: &str| {
    let (problems, sources) = match resolve(text, &Outside("x")) {
        Ok(resolved) => (resolved.warnings, resolved.sources),
        Err(found) => {
            assert!(!found.problems.is_empty(), "refused without a reason");
            (found.problems, found.sources)
        }
    };
    let _ = sources.render(&problems, false);
});
