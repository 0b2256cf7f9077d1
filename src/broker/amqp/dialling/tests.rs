//! What those before a gate hear of each other.

use futures_util::FutureExt as _;

use super::{ConnectError, ConnectErrorKind, Dialling};

fn error(detail: &str) -> ConnectError {
    let kind = ConnectErrorKind::Unreachable;
    ConnectError { endpoint: "amqp://mq".into(), detail: detail.into(), kind }
}

#[tokio::test]
async fn whoever_waits_hears_that_no_endpoint_answers() {
    let dialling = Dialling::new(2);
    let waiting = dialling.to_another_vhost();
    let away = || waiting.away().now_or_never().map(|error| error.detail);
    dialling.enter().await.tell(Err(&error("one")));
    assert_eq!(away(), None, "the other may answer");
    dialling.enter().await.tell(Err(&error("two")));
    assert_eq!(away().as_deref(), Some("two"));
    dialling.enter().await.tell(Err(&error("three")));
    assert_eq!(away().as_deref(), Some("three"));
    dialling.enter().await.tell(Ok(()));
    assert_eq!(away(), None);
}
