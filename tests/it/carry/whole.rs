//! A whole broker: every vhost, users and parameters.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use warrener::sandbox::Sandbox;

use super::yard::document;
use crate::support::broker::own_node;
use crate::support::stack::Said;

/// All that a broker has, through a file and through definitions, onto another broker.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_broker_goes_round() {
    let (one, other) = tokio::join!(own_node(), own_node());
    let folder = tempfile::tempdir().expect("a folder");
    let run = |node: &Sandbox, arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_warrener"))
            .args(arguments)
            .current_dir(folder.path())
            .env("AMQP_URL", node.amqp_url())
            .env("WARRENER_MANAGEMENT", node.management_url())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(output.stdout), text(output.stderr));
        Said { code: output.status.code(), out, err }
    };
    let path = |name: &str| folder.path().join(name);
    let at = |text: &str, node: &Sandbox| {
        let management = format!("\nbroker:\n  management: {}\n", node.management_url());
        text.replacen("\nbroker:\n", &management, 1)
    };
    let imported = run(&one, &["import", &document("3.8"), "--stack", "test"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_snapshot!(imported.out.split_once("\nusers:").expect("users").1, @"");
    assert_snapshot!(imported.err, @"");
    std::fs::write(path("stack.yaml"), at(&imported.out, &one)).expect("a file");
    let applied = run(&one, &["apply", "stack.yaml"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    // `guest` and its permissions were there before, and are not in the import.
    let exported = run(&one, &["export", "--all", "--stack", "test", "-o", "all.yaml"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let planned = run(&one, &["plan", "all.yaml"]);
    assert_eq!(planned.out, "nothing to do: the broker is as the files say\n");
    let text = std::fs::read_to_string(path("all.yaml")).expect("a file");
    assert!(text.contains("\nusers:\n  guest:\n") && text.contains("\n  reports:\n"), "{text}");

    for arguments in
        [&["export", "--all", "--definitions"][..], &["export", "--definitions", "all.yaml"]]
    {
        let definitions = run(&one, arguments);
        assert_eq!(definitions.code, Some(0), "{definitions:?}");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("{}/api/definitions", other.management_url());
        let request = http.post(url).basic_auth("guest", Some("guest"));
        let request = request.header("content-type", "application/json").body(definitions.out);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        let management = (one.management_url(), other.management_url());
        let there = text.replace(&management.0, &management.1);
        std::fs::write(path("there.yaml"), there).expect("a file");
        let planned = run(&other, &["plan", "there.yaml"]);
        assert_eq!(planned.out, "nothing to do: the broker is as the files say\n", "{arguments:?}");
    }
}
