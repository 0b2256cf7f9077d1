//! Problems as people see them.

use super::resolve;
use crate::config::SourceMap;
use crate::model::{Origin, Problem};

fn at(source: u32, start: u32, end: u32) -> Origin {
    Origin { source, start, end }
}

#[test]
fn columns_count_characters() {
    let mut sources = SourceMap::default();
    sources.add("a.yaml", "é: x\r\n日本: 語\n\nend");
    for (start, place) in [
        (0, "a.yaml:1:1"),
        (2, "a.yaml:1:2"),
        // Inside a character counts as its beginning.
        (1, "a.yaml:1:1"),
        (7, "a.yaml:2:1"),
        (15, "a.yaml:2:5"),
        (19, "a.yaml:3:1"),
        (20, "a.yaml:4:1"),
        (999, "a.yaml:4:4"),
    ] {
        let found = sources.locate(at(0, start, start)).map(|place| place.to_string());
        assert_eq!(found.as_deref(), Some(place), "offset {start}");
    }
    assert_eq!(sources.locate(at(1, 0, 0)), None);
}

#[test]
fn one_problem_with_everything() {
    let mut sources = SourceMap::default();
    let one = sources.add("one.yaml", "stack: s\nqueues:\n  größe: { typ: x }\n");
    let two = sources.add("two.yaml", "queues:\n  größe: {}\n");
    let problem = Problem::error("E0000", at(one, 19, 26), "queue `größe` is declared twice")
        .label("again here")
        .related(at(one, 9, 15), "in this section")
        .related(at(two, 10, 17), "first declared here")
        .hint("remove one of the two");
    insta::assert_snapshot!(sources.render(&[problem], false), @r"
    error[E0000]: queue `größe` is declared twice
     --> one.yaml:3:3
      |
    2 | queues:
      | ------ in this section
    3 |   größe: { typ: x }
      |   ^^^^^ again here
      |
     ::: two.yaml:2:3
      |
    2 |   größe: {}
      |   ----- first declared here
      |
      = hint: remove one of the two
    ");
}

#[test]
fn secrets_are_blotted_out() {
    let text = "stack: s\nbroker: { url: \"amqp://u:pässword@h/%2\" }\nconsumers: { c: { env: { DB_PASSWORD: hunter2, T: \"x\" }, qeue: 1 } }\n";
    let found = resolve(&[text]).expect_err("both lines are wrong");
    let shown = found.sources.render(&found.problems, false);
    assert!(shown.contains("amqp://u:*********@h/%2"), "{shown}");
    assert!(shown.contains("DB_PASSWORD: *******, T"), "{shown}");
    let address = "stack: s\nparameters: { shovel: { s: { src-uri: \"amqps://h?certfile=/c&Password=pem%20word\", a: 1, a: 2 } } }\n";
    let found = resolve(&[address]).expect_err("a key is given twice");
    let shown = found.sources.render(&found.problems, false);
    assert!(shown.contains("certfile=/c&Password=*********"), "{shown}");
    let found = resolve(&[text]).expect_err("both lines are wrong");
    let shown = found.sources.render(&found.problems, true);
    assert!(!shown.contains("hunter2") && !shown.contains("ssword@"), "{shown}");
}

#[test]
fn long_lines_are_named_but_not_shown() {
    let text = format!("stack: s\nqueues: {{ {} typ: {{ x: 1 }} }}\n", "q: , ".repeat(1000));
    let found = resolve(&[&text]).expect_err("keys are given twice");
    let shown = found.sources.render(&found.problems[..1], false);
    assert!(shown.contains("--> a.yaml:2:16") && shown.len() < 400, "{shown}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let found = resolve(&["stack: \"a\\e[31mb\"\nqueues: { \"\\e[2J\": { x: 1 } }\n"]).unwrap_err();
    let shown = found.sources.render(&found.problems, false);
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
