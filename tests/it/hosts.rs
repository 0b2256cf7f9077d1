//! More than one of everything: addresses of the broker, supervisors on the same queues.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::shared;
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::proxy::Proxy;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

const STOPPED: Duration = Duration::from_secs(8);

fn ledger(delay: &str) -> String {
    format!(
        "command: [python3, \"${{CHILDREN}}/ledger.py\"]\nenv: {{ LEDGER: ledger, DELAY: \"{delay}\" }}\nstop: {{ grace: 3s }}\n"
    )
}

async fn proxy() -> Proxy {
    Proxy::start(([127, 0, 0, 1], shared().amqp_port()).into()).await
}

/// The address of the case's vhost at that host and port, in quotes.
fn at(case: &Case, host: &str, port: u16) -> String {
    format!("\"amqp://guest:guest@{host}:{port}/{}\"", case.vhost.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_address_is_gone_the_next_is_used_and_nothing_is_lost() {
    let mut case = Case::prepare().await;
    let (first, second) = (proxy().await, proxy().await);
    // A name that leads nowhere, and a port where nobody is, cost an attempt and no more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses = [
        at(&case, "nobody.invalid", 5672),
        at(&case, "127.0.0.1", closed),
        at(&case, "127.0.0.1", first.port()),
        at(&case, "127.0.0.1", second.port()),
    ];
    case.url = format!("[{}]", addresses.join(", "));
    case.start(&ledger("0.002"));
    case.supervisor.wait_for("started: topology");
    wait_until("consuming", PATIENCE, || case.logged("worker[0]: consuming") == 1);
    case.outside.publish("work", (0..1000).map(|number| number.to_string())).await;
    wait_until("progress", PATIENCE, || case.ledger().len() > 20);
    first.refuse(true);
    first.cut();
    wait_until("the other address", PATIENCE, || second.connections() >= 1);
    second.cut();
    first.refuse(false);
    case.wait_handled(1000);
    case.wait_settled();
    assert_eq!(case.logged("worker[0]: started"), 1, "a fault of the wire cost a child");
    case.stop(STOPPED);
}

/// Another host with the same file, which writes into the ledger of the first.
fn another(case: &Case, sections: &str) -> Supervisor {
    let mut host = Supervisor::prepare();
    host.write("stack.yaml", &case.stack(sections));
    host.start();
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_the_work_and_one_that_dies_costs_nothing() {
    const MESSAGES: u32 = 6000;
    let mut case = Case::prepare().await;
    let ledger = case.supervisor.path("ledger");
    let keys = format!(
        "command: [python3, \"${{CHILDREN}}/ledger.py\"]\nprefetch: 50\nstop: {{ grace: 3s }}\nenv: {{ LEDGER: \"{}\", DELAY: \"0.001\" }}\n",
        ledger.display()
    );
    let sections = format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &keys));
    case.write(&sections);
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let (mut second, mut third) = (another(&case, &sections), another(&case, &sections));
    case.outside.wait_for_consumers("work", 3, PATIENCE).await;
    case.outside.publish("work", (0..MESSAGES).map(|number| number.to_string())).await;
    wait_until("some work done", PATIENCE, || case.ledger().len() > 500);
    third.signal(Signal::SIGKILL);
    third.exited(PATIENCE);
    case.wait_handled(MESSAGES as usize);
    case.wait_settled();
    let duplicates = case.ledger().values().sum::<usize>() - MESSAGES as usize;
    assert!(duplicates <= 50, "{duplicates} duplicates for one death");
    second.signal(Signal::SIGTERM);
    assert!(second.exited(STOPPED).success());
    let books = case.stop(STOPPED);
    let share = books.count("acked");
    assert!((1..u64::from(MESSAGES)).contains(&share), "one host did all or nothing: {share}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hosts_on_a_queue_with_a_single_active_consumer_one_stands_by() {
    let mut case = Case::prepare().await;
    let sections = |file: &str| {
        let keys = ledger("0").replace("LEDGER: ledger", &format!("LEDGER: {file}"));
        format!(
            "queues: {{ work: {{ single_active_consumer: true, dead_letter: {{ queue: dead }} }}, dead: }}\nconsumers:\n{}",
            consumer("worker", "work", &keys)
        )
    };
    case.write(&sections("ledger"));
    case.supervisor.start();
    case.supervisor.wait_for("consuming");
    let mut standby = another(&case, &sections("ledger"));
    case.outside.wait_for_consumers("work", 2, PATIENCE).await;
    case.outside.publish("work", (0..200).map(|number| number.to_string())).await;
    case.wait_handled(200);
    case.wait_settled();
    // Its child has made the file, and has nothing to write into it.
    let taken = || std::fs::read_to_string(standby.path("ledger")).unwrap_or_default();
    assert_eq!(taken(), "", "two were active at once");
    // Waiting is no fault: nothing is restarted, and nothing is complained of.
    let log = standby.log();
    // The library tells of the lock that the other host has; without `-v` nobody sees that.
    let complaint = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    let ours = log.lines().find(|line| complaint(line) && !line.contains("lapin"));
    assert_eq!(ours, None, "waiting is complained of");
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
    case.outside.publish("work", (0..200).map(|number| number.to_string())).await;
    wait_until("the other to take over", PATIENCE, || taken().lines().count() >= 200);
    case.wait_settled();
    standby.signal(Signal::SIGTERM);
    assert!(standby.exited(STOPPED).success());
}
