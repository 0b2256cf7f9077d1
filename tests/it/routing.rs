//! The routing of the model against that of a real broker: the ledger of `warrener dev` rests on it.

use std::collections::BTreeSet;
use std::path::Path;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use warrener::config::Environment;
use warrener::model::{ArgValue, Arguments, ExchangeName, QueueName, Router};

use crate::support::broker::{Vhost, amqp_url, fresh_vhost};

const STACK: &str = r##"
stack: routing
broker: { url: "URL" }
exchanges:
  topic: { type: topic, arguments: { alternate-exchange: rest } }
  direct: { type: direct }
  fanout: { type: fanout, bind: [{ exchange: topic, key: "f.#" }] }
  headers: { type: headers, bind: [{ exchange: topic, key: "#.h" }] }
  loop: { type: direct, bind: [{ exchange: fanout, key: "" }, { exchange: direct, key: "" }] }
  rest: { type: fanout }
  policed: { type: direct }
queues:
  t1: { bind: [{ exchange: topic, key: "a.*" }, { exchange: topic, key: "a.#" }] }
  t2: { bind: [{ exchange: topic, key: "*.b.#.d" }] }
  t3: { bind: [{ exchange: topic, key: "#" , arguments: {} }, { exchange: direct, key: all }] }
  t4: { bind: [{ exchange: topic, key: "" }, { exchange: topic, key: "*" }] }
  d1: { bind: [{ exchange: direct, key: k }, { exchange: amq.direct, key: k }] }
  d2: { bind: [{ exchange: direct, key: k }, { exchange: loop, key: "f.loop" }] }
  f1: { bind: [{ exchange: fanout, key: whatever }] }
  h1: { bind: [{ exchange: headers, arguments: { x-match: all, type: pdf, pages: 3 } }] }
  h2: { bind: [{ exchange: headers, arguments: { x-match: any, type: pdf, pages: 3 } }] }
  h3: { bind: [{ exchange: headers, arguments: { type: pdf, x-skipped: "1" } }] }
  r1: { bind: [{ exchange: rest }] }
  p1: { bind: [{ exchange: policed, key: k }] }
policies:
  alternate: { pattern: "^policed$", apply_to: exchanges, definition: { alternate-exchange: rest } }
"##;

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

/// Applies the stack with the built binary.
fn apply(vhost: &Vhost, folder: &Path) {
    let text = STACK.replace(
        r#"{ url: "URL" }"#,
        &format!(
            r#"{{ url: "{}", management: "{}" }}"#,
            amqp_url(vhost),
            crate::support::broker::management_url()
        ),
    );
    let file = folder.join("stack.yaml");
    std::fs::write(&file, text).expect("the stack is written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_warrener"))
        .args(["apply", "--yes"])
        .arg(&file)
        .output()
        .expect("warrener runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Headers as bindings see them, and as the wire has them.
type Headers = Vec<(&'static str, ArgValue)>;

fn table(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in headers {
        let value = match value {
            ArgValue::Int(number) => AMQPValue::LongLongInt(*number),
            ArgValue::Float(number) => AMQPValue::Double(*number),
            ArgValue::Str(text) => AMQPValue::LongString(text.as_str().into()),
            ArgValue::List(values) => {
                let texts = values.iter().filter_map(ArgValue::as_str);
                let texts = texts.map(|text| AMQPValue::LongString(text.into()));
                AMQPValue::FieldArray(FieldArray::from(texts.collect::<Vec<_>>()))
            }
            other => panic!("{other:?} is not needed here"),
        };
        table.insert((*key).into(), value);
    }
    table
}

#[tokio::test]
async fn the_model_routes_as_the_broker_does() {
    let vhost = fresh_vhost();
    let folder = tempfile::tempdir().expect("a folder");
    apply(&vhost, folder.path());
    let url = amqp_url(&vhost);
    let mut loader = warrener::config::Loader::new(&NoEnvironment);
    loader.add("stack.yaml", &STACK.replace("URL", &url), folder.path());
    let desired = loader.finish().expect("the stack is sound").desired;
    let router = Router::new(&desired.topology);

    let connection =
        Connection::connect(&url, ConnectionProperties::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("opens");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");

    let text = |text: &str| ArgValue::Str(text.into());
    let copies = |key: &str| ArgValue::List(vec![text(key)]);
    let header_sets: Vec<Headers> = vec![
        vec![],
        vec![("type", text("pdf"))],
        vec![("type", text("pdf")), ("pages", ArgValue::Int(3))],
        vec![("pages", ArgValue::Float(3.5)), ("x-skipped", text("1"))],
        vec![("CC", copies("k"))],
        vec![("BCC", copies("a.b")), ("CC", copies("all"))],
    ];
    let keys = [
        "",
        "a",
        "a.",
        "a.b",
        "a.b.d",
        "x.b.c.c.d",
        "k",
        "all",
        "f",
        "f.loop",
        "f.h",
        "h",
        ".",
        "t1",
    ];
    let exchanges =
        ["", "topic", "direct", "fanout", "headers", "loop", "rest", "policed", "amq.direct"];
    let mut unroutable = 0;
    for exchange in exchanges {
        for key in keys {
            for headers in &header_sets {
                let arguments: Arguments =
                    headers.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
                let name = ExchangeName::new(exchange).expect("a name");
                let expected = router
                    .route(&desired.broker.vhost, &name, key, &arguments)
                    .expect("it is known");
                let what = format!("`{key}` to `{exchange}` with {arguments:?}");
                let properties = BasicProperties::default().with_headers(table(headers));
                let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                let confirm = channel
                    .basic_publish(
                        exchange.into(),
                        key.into(),
                        options,
                        what.as_bytes(),
                        properties,
                    )
                    .await
                    .expect("publishes")
                    .await
                    .expect("is confirmed");
                let returned = !matches!(confirm, Confirmation::Ack(None));
                assert_eq!(returned, expected.is_empty(), "{what} to {expected:?}");
                unroutable += usize::from(returned);
                let mut found = BTreeSet::new();
                for queue in desired.topology.queues() {
                    let options = BasicGetOptions { no_ack: true };
                    // A confirm means that it is in every queue it goes to.
                    if expected.contains(&queue.name) {
                        let got = channel.basic_get(queue.name.as_str().into(), options).await;
                        let got = got.expect("the queue is there");
                        let got = got.unwrap_or_else(|| panic!("{what} is not in {}", queue.name));
                        let got = String::from_utf8_lossy(&got.delivery.data).into_owned();
                        assert_eq!(got, what, "next in {}", queue.name);
                        found.insert(queue.name.clone());
                    }
                }
                assert_eq!(found, expected);
            }
        }
    }
    assert!(unroutable > 20, "only {unroutable} were unroutable");
    // What the model did not expect anywhere would still lie there.
    for queue in desired.topology.queues() {
        let name: &QueueName = &queue.name;
        let got = channel.basic_get(name.as_str().into(), BasicGetOptions { no_ack: true }).await;
        let left = got
            .expect("the queue is there")
            .map(|m| String::from_utf8_lossy(&m.delivery.data).into_owned());
        assert_eq!(left, None, "unexpected in {name}");
    }
}
