//! TLS to the broker: certificates are checked, never waved through, and read anew when they are
//! replaced.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::shared;
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::tls::{Authority, Terminator};

const STOPPED: Duration = Duration::from_secs(8);
const KEYS: &str = "command: [python3, \"${CHILDREN}/answer.py\"]\nstop: { grace: 3s }\n";

fn upstream(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn amqp() -> SocketAddr {
    upstream(shared().amqp_port())
}

/// Starts the case through that terminator and with those keys of `broker`.
fn start(case: &mut Case, to: &Terminator, keys: &str) {
    let vhost = case.vhost.name().to_owned();
    case.supervisor.write(
        "stack.yaml",
        &format!(
            "stack: test\nbroker: {{ url: \"amqps://guest:guest@localhost:{}/{vhost}\", management: none{keys} }}\n{QUEUES}consumers:\n{}",
            to.port(),
            consumer("worker", "work", KEYS)
        ),
    );
    case.supervisor.start();
}

/// Stops a supervisor that never began.
fn end(case: &mut Case) {
    case.supervisor.signal(Signal::SIGTERM);
    assert!(case.supervisor.exited(STOPPED).success());
}

/// One message goes through, and it stops.
async fn works(case: &mut Case) {
    case.supervisor.wait_for("started: topology");
    case.send(&["ack"]).await;
    case.wait_settled();
    assert_eq!(case.stop(STOPPED).count("acked"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_proves_nothing_is_refused_with_the_reason() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (shown, why) in [
        (ours.sign("another.example", 2999), "certificate not valid for name"),
        (ours.sign("localhost", 2002), "certificate expired"),
        (theirs.sign("localhost", 2999), "UnknownIssuer"),
    ] {
        let mut case = Case::prepare().await;
        let ca = ours.write(case.supervisor.path("ca.pem"));
        let terminator = Terminator::start(&shown, None, amqp()).await;
        start(&mut case, &terminator, &format!(", tls: {{ ca: \"{}\" }}", ca.display()));
        case.supervisor.wait_for("waiting for the broker");
        case.supervisor.wait_for(why);
        case.supervisor.wait_for("check the broker's certificate");
        assert_eq!(case.outside.depth("work").await, None, "it went on without TLS");
        end(&mut case);
    }
    let mut case = Case::prepare().await;
    let terminator = Terminator::start(&ours.sign("localhost", 2999), None, amqp()).await;
    start(&mut case, &terminator, ", tls: { ca: /nowhere/ca.pem }");
    case.supervisor.wait_for("cannot read `/nowhere/ca.pem`: No such file");
    end(&mut case);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_read_anew_when_it_is_replaced() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let mut case = Case::prepare().await;
    let path = old.write(case.supervisor.path("ca.pem"));
    let terminator = Terminator::start(&new.sign("localhost", 2999), None, amqp()).await;
    start(&mut case, &terminator, &format!(", tls: {{ ca: \"{}\" }}", path.display()));
    case.supervisor.wait_for("UnknownIssuer");
    new.write(path);
    works(&mut case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_asks_who_we_are_is_shown_our_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let shown = servers.sign("localhost", 2999);
    let terminator = Terminator::start(&shown, Some(&clients), amqp()).await;

    let mut case = Case::prepare().await;
    let ca = servers.write(case.supervisor.path("ca.pem"));
    let keys = format!(", tls: {{ ca: \"{}\" }}", ca.display());
    start(&mut case, &terminator, &keys);
    case.supervisor.wait_for("CertificateRequired");
    end(&mut case);

    let mut case = Case::prepare().await;
    let ca = servers.write(case.supervisor.path("ca.pem"));
    let (certificate, key) = clients.sign("warrener", 2999).write(&case.supervisor.path(""));
    let identity = format!(
        ", tls: {{ ca: \"{}\", certificate: \"{}\", key: \"{}\" }}",
        ca.display(),
        certificate.display(),
        key.display()
    );
    start(&mut case, &terminator, &identity);
    works(&mut case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_management_api_is_reached_with_the_same_files() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let shown = servers.sign("localhost", 2999);
    let amqp = Terminator::start(&shown, Some(&clients), amqp()).await;
    let port = shared().management_url().rsplit(':').next().unwrap().parse().unwrap();
    let management = Terminator::start(&shown, Some(&clients), upstream(port)).await;
    let case = Case::prepare().await;
    let ca = servers.write(case.supervisor.path("ca.pem"));
    let (certificate, key) = clients.sign("warrener", 2999).write(&case.supervisor.path(""));
    let identity = format!(
        "ca: \"{}\", certificate: \"{}\", key: \"{}\"",
        ca.display(),
        certificate.display(),
        key.display()
    );
    let plan = |tls: &str| {
        case.supervisor.write(
            "stack.yaml",
            &format!(
                "stack: test\nbroker:\n  url: \"amqps://guest:guest@localhost:{}/{}\"\n  management: \"https://localhost:{}\"\n  tls: {{ {tls} }}\n{QUEUES}",
                amqp.port(),
                case.vhost.name(),
                management.port()
            ),
        );
        case.supervisor.command(&["plan", "stack.yaml"]).output().unwrap()
    };
    let output = tokio::task::block_in_place(|| plan(&identity));
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(out.contains("2 to create"), "{out}");
    let output = tokio::task::block_in_place(|| plan(""));
    assert_eq!(output.status.code(), Some(1), "an unknown authority was trusted");
}

/// As in a small container. What needs no certificate is not kept from the broker by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_certificates_asks_a_broker_without_tls() {
    let case = Case::prepare().await;
    case.write(QUEUES);
    case.supervisor.write("none.pem", "");
    let mut command = case.supervisor.command(&["plan", "stack.yaml"]);
    command.env("SSL_CERT_FILE", case.supervisor.path("none.pem"));
    command.env("SSL_CERT_DIR", case.supervisor.path("nowhere"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
}
