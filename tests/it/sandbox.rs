//! The private broker: it serves, it comes back, and nothing of it stays behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use warrener::sandbox::{Halt, Sandbox, SandboxError, SandboxOptions};

use crate::support::broker;
use crate::support::processes::{listens, processes_with};
use crate::support::supervisor::{PATIENCE, wait_until};

/// Set for the process that [`killed_owner_leaves_nothing_behind`] kills.
const HELPER: &str = "WARRENER_TEST_HOLD_A_NODE";

/// The name of a node's folder, which no other has. The whole path would not do: a node in another
/// root knows it by another.
fn name_of(folder: &Path) -> String {
    folder.file_name().expect("it has one").display().to_string()
}

async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("the broker accepts")
}

#[tokio::test]
async fn shared_node_gives_vhosts_that_go_again() {
    let vhost = broker::fresh_vhost();
    let other = broker::fresh_vhost();
    assert_ne!(vhost.name(), other.name());
    let url = broker::amqp_url(&vhost);
    let connection = connect(&url).await;
    connection.create_channel().await.expect("a channel opens");
    drop(vhost);
    let refused = Connection::connect(&url, ConnectionProperties::default()).await;
    assert!(refused.is_err(), "the vhost is still there");
    assert!(broker::management_url().starts_with("http://127.0.0.1:"));
    assert!(broker::shared().version().split('.').count() >= 3);
}

#[tokio::test]
async fn halted_node_comes_back_with_its_data_and_stopped_one_goes() {
    let mut node = broker::own_node().await;
    let url = node.amqp_url();
    let folder = node.folder().to_owned();
    let channel = connect(&url).await.create_channel().await.expect("a channel opens");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms are on");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel
        .queue_declare("kept".into(), durable, FieldTable::default())
        .await
        .expect("the queue is declared");
    channel
        .basic_publish(
            "".into(),
            "kept".into(),
            BasicPublishOptions::default(),
            b"still here",
            BasicProperties::default().with_delivery_mode(2),
        )
        .await
        .expect("it is sent")
        .await
        .expect("it is confirmed");

    // In this order: a broker killed within some seconds of a declaration may forget the queue,
    // because Mnesia writes its log with a delay.
    for how in [Halt::Graceful, Halt::Kill] {
        node.halt(how).await.expect("the node ends");
        assert!(!listens(node.amqp_port()), "after {how:?}");
        assert!(!node.is_running());
        node.resume().await.expect("the node comes back");
        assert!(node.is_running());
    }
    let channel = connect(&url).await.create_channel().await.expect("a channel opens");
    let got = channel
        .basic_get("kept".into(), BasicGetOptions { no_ack: true })
        .await
        .expect("the queue is there")
        .expect("the message is there");
    assert_eq!(got.delivery.data, b"still here");

    let (name, port) = (name_of(&folder), node.amqp_port());
    assert!(!processes_with(&name).is_empty(), "the search finds what there is");
    node.stop().await;
    assert!(!folder.exists());
    assert!(!listens(port));
    wait_until("no process of the node is left", PATIENCE, || processes_with(&name).is_empty());
}

#[tokio::test]
async fn failed_start_shows_the_log() {
    let options = SandboxOptions { plugins: vec!["not a name".into()], ..broker::options() };
    let error = Sandbox::start(options).await.err().expect("the list of plugins is malformed");
    assert!(matches!(error, SandboxError::Died { .. }), "{error}");
    assert!(error.to_string().contains("enabled_plugins"), "the log is shown: {error}");
}

#[tokio::test]
async fn root_without_rabbitmq_is_refused() {
    let empty = tempfile::tempdir().expect("a folder");
    let options = SandboxOptions { root: Some(empty.path().to_owned()), ..Default::default() };
    let error = Sandbox::start(options).await.err().expect("there is no RabbitMQ in it");
    assert!(matches!(error, SandboxError::NoSuchRoot { .. }), "{error}");
}

/// The whole point of the guardian, in a folder whose name has blanks.
#[test]
fn killed_owner_leaves_nothing_behind() {
    let parent =
        tempfile::Builder::new().prefix("a folder with bläcks ").tempdir().expect("folder");
    let mut helper = Command::new(std::env::current_exe().expect("our own path"))
        .args(["--exact", "sandbox::holds_a_node_until_killed", "--nocapture"])
        .env(HELPER, "1")
        .env("TMPDIR", parent.path())
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let lines = BufReader::new(helper.stdout.take().expect("it is piped")).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("NODE ").map(|(_, rest)| rest.to_owned()))
        .expect("the helper has a node");
    let (port, folder) = line.split_once(' ').expect("port and folder");
    let (port, folder) = (port.parse().expect("a port"), Path::new(folder));
    // A node in another root has its folder there.
    let root = broker::options().root;
    let parent = root.as_deref().unwrap_or(parent.path());
    assert!(listens(port) && folder.starts_with(parent) && folder.exists());
    let name = name_of(folder);
    assert!(processes_with(&name).len() > 2, "the search finds node, epmd and guardian");

    helper.kill().expect("SIGKILL is sent");
    helper.wait().expect("the helper is gone");
    wait_until("the folder is removed", PATIENCE, || !folder.exists());
    wait_until("nothing listens", PATIENCE, || !listens(port));
    wait_until("no process of the node is left", PATIENCE, || processes_with(&name).is_empty());
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "its parent reads where the node is")]
async fn holds_a_node_until_killed() {
    // No test of its own: `killed_owner_leaves_nothing_behind` runs it as a process.
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let node = broker::own_node().await;
    println!("NODE {} {}", node.amqp_port(), node.folder().display());
    std::future::pending::<()>().await;
}
