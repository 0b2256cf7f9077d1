//! Whatever is thrown at it, the loader answers.

use std::path::Path;

use proptest::prelude::*;

use super::Fake;
use crate::config::{Environment, Loader};

struct Echo(String);

impl Environment for Echo {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(Some(self.0.clone()))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

/// Pieces of which nearly valid files are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,6}",
        "[\\x00-\\x7f]{0,4}",
        proptest::sample::select(vec![
            "stack: s\n",
            "queues:\n",
            "consumers:\n",
            "  a: ",
            "  b:\n",
            "    ",
            "\n",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "type: quorum",
            "bind: ",
            "exchange: ",
            "dead_letter: ",
            "queue: a",
            "command: [x]",
            "retry: ",
            "delays: [1s]",
            "broker: ",
            "url: ",
            "amqp://",
            "%2",
            "é",
            "${X}",
            "$",
            "${",
            "&a ",
            "*a",
            "<<: ",
            "!t ",
            "---\n",
            "\t",
            "\"",
            "'",
            "|\n",
            "- ",
            "? ",
            ": ",
            "policies:\n",
            "pattern: (",
            "definition: ",
            "~",
            "0777",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    // The seed of a failure is printed; nothing is left behind in the tree.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_an_answer_that_can_be_shown(pieces in proptest::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let environment = Fake::default();
        let mut loader = Loader::new(&environment);
        loader.add("a.yaml", &text, Path::new("/stack"));
        if let Err(found) = loader.finish() {
            prop_assert!(!found.problems.is_empty());
            for problem in &found.problems {
                let origin = problem.origin.expect("a place");
                prop_assert!(found.sources.locate(origin).is_some());
            }
            prop_assert!(!found.sources.render(&found.problems, true).is_empty());
        }
    }

    /// The same number of queues, arguments and bindings, whatever the variable holds.
    #[test]
    fn a_value_never_changes_the_structure(value in "\\PC{0,20}|[\\x00-\\x7f]{0,20}") {
        let environment = Echo(value.clone());
        let mut loader = Loader::new(&environment);
        let text = "stack: s\nqueues:\n  q: { bind: [{ exchange: amq.topic, arguments: { a: \"${X}\", b: \"${X}\", c: 'x${X}' } }] }\n";
        loader.add("a.yaml", text, Path::new("/stack"));
        let resolved = loader.finish();
        prop_assert!(resolved.is_ok());
        let desired = resolved.expect("checked above").desired;
        prop_assert_eq!(desired.topology.queues().len(), 1);
        let binding = desired.topology.bindings().next().expect("one binding");
        prop_assert_eq!(binding.arguments.len(), 3);
        prop_assert_eq!(binding.arguments["a"].as_str(), Some(value.as_str()));
        prop_assert_eq!(binding.arguments["b"].as_str(), Some(value.as_str()));
        let c = format!("x{value}");
        prop_assert_eq!(binding.arguments["c"].as_str(), Some(c.as_str()));
    }
}
