//! Where the output of an answer goes.

use amq_protocol::types::ShortString;

use super::*;

fn publication(key: &str) -> Publication {
    Publication { exchange: "x".into(), routing_key: key.into(), content: Content::default() }
}

#[test]
fn the_reply_is_last_and_is_for_whoever_asked() {
    let mut output = Output::reply(b"42".to_vec());
    output.publish = vec![publication("a"), publication("b")];
    let asked = BasicProperties::default()
        .with_reply_to("answers".into())
        .with_correlation_id("c-1".into());
    let (all, unasked) = output.addressed(&asked);
    let keys: Vec<_> = all.iter().map(|one| one.routing_key.as_str()).collect();
    assert_eq!((keys.as_slice(), unasked), (["a", "b", "answers"].as_slice(), false));
    let reply = &all[2];
    assert_eq!((reply.exchange.as_str(), reply.content.body.as_slice()), ("", b"42".as_slice()));
    let id = reply.content.properties.correlation_id().as_ref().map(ShortString::as_str);
    assert_eq!(id, Some("c-1"));
}

#[test]
fn a_correlation_id_of_the_child_stands() {
    let mut output = Output::reply(Vec::new());
    let content = output.reply.as_mut().expect("a reply");
    content.properties = content.properties.clone().with_correlation_id("own".into());
    let asked =
        BasicProperties::default().with_reply_to("q".into()).with_correlation_id("c-1".into());
    let (all, _) = output.addressed(&asked);
    let id = all[0].content.properties.correlation_id().as_ref().map(ShortString::as_str);
    assert_eq!(id, Some("own"));
}

#[test]
fn a_reply_that_nobody_asked_for_goes_nowhere() {
    let mut output = Output::reply(b"42".to_vec());
    output.publish.push(publication("a"));
    assert_eq!(output.addressed(&BasicProperties::default()), (vec![publication("a")], true));
}
