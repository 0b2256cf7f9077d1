//! The whole texts.

use insta::assert_snapshot;

use super::*;

#[test]
fn each_says_why_and_what_to_do() {
    let queue = QueueName::new("warrener.migrate.work.old").expect("a name");
    let told: Vec<String> = [
        RemakeError::in_use(Usage { messages: 1, consumers: 2 }),
        RemakeError::consumed(Usage { messages: 0, consumers: 1 }),
        RemakeError::held(7),
        RemakeError::policy("short", "message-ttl", &queue),
        RemakeError::binding("orders", "work"),
        RemakeError::Lost("the connection was lost".into()),
    ]
    .iter()
    .map(|error| format!("{error}\n  hint: {}\n", error.hint().expect("all have one")))
    .collect();
    assert_snapshot!(told.concat(), @r"
    it holds 1 message and has 2 consumers
      hint: `on_conflict: migrate` takes its messages along
    it has 1 consumer
      hint: end its consumers, or have them wait, until it is made anew
    7 of its messages are taken and not settled
      hint: end whoever holds them
    the policy `short` would set `message-ttl` on the temporary queue `warrener.migrate.work.old`, and messages could be lost
      hint: have its pattern leave out names that begin with `warrener.migrate.`: write `^(?!warrener\.migrate\.)` in front
    the binding orders → work has arguments that could not be put back
      hint: remove that binding first
    the connection was lost
      hint: what was begun goes on with the next apply; no message is lost
    ");
}
