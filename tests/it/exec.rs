//! Protocol `exec` on a real broker: what each exit code does, and what goes wrong.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::case::{Books, Case, consumer};
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// A consumer that runs that script, in a file of its own, for each message.
fn script(case: &Case, text: &str) -> String {
    case.supervisor.write("one message.sh", text);
    "command: [sh, one message.sh]\nprotocol: exec\nrestart: { backoff: 50ms, backoff_max: 200ms }\n"
        .to_owned()
}

/// Starts a consumer that runs the script, with more keys.
async fn run(text: &str, more: &str) -> Case {
    let mut case = Case::prepare().await;
    let keys = script(&case, text) + more;
    case.start(&keys);
    case.supervisor.wait_for("started: topology");
    case
}

fn stop(case: &mut Case) -> Books {
    case.stop(Duration::from_secs(6))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_exit_code_does_on_the_broker_what_it_says() {
    // The second time everything that came back is done.
    let text = r#"
read -r verdict
echo "$verdict $WARRENER_ATTEMPT $WARRENER_REDELIVERED" >> runs
[ "$WARRENER_REDELIVERED" = true ] && exit 0
[ "$verdict" = signal ] && kill -SEGV $$
exit "$verdict"
"#;
    let mut case = run(text, "workers: 3\nretry: { delays: [100ms] }\nstop: { grace: 5s }\n").await;
    case.send(&["0\n", "1\n", "3\n", "4\n", "5\n", "6\n", "signal\n"]).await;
    case.outside.wait_for_depth("dead", 4, PATIENCE).await;
    let file = case.supervisor.path("runs");
    wait_until("eleven runs", PATIENCE, || {
        fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 11)
    });
    let mut dead: Vec<_> = case
        .outside
        .take_all("dead")
        .await
        .into_iter()
        .map(|dead| {
            let header = |name: &str| dead.header(&format!("warrener-{name}"));
            let (reason, attempt, error) = (header("reason"), header("attempt"), header("error"));
            format!("{}: {reason} after {attempt}, {error}", dead.body.trim())
        })
        .collect();
    dead.sort();
    assert_eq!(
        dead,
        [
            "1: exhausted after 2, exit code 1",
            "3: rejected after 1, exit code 3",
            "5: rejected after 1, exit code 5",
            "signal: crashed after 2, crash 2 of 3: signal 11 (SIGSEGV)",
        ]
    );
    let books = stop(&mut case);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let runs = fs::read_to_string(&file).unwrap();
    let mut runs: Vec<_> = runs.lines().collect();
    runs.sort_unstable();
    assert_eq!(
        runs,
        [
            "0 1 false",
            "1 1 false",
            "1 2 false",
            "3 1 false",
            "4 1 false",
            "4 1 true",
            "5 1 false",
            "6 1 false",
            "6 1 true",
            "signal 1 false",
            "signal 2 false",
        ]
    );
    let counts = ["acked", "retried", "requeued", "dead_lettered"].map(|name| books.count(name));
    assert_eq!(counts, [3, 2, 2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_exit_codes_can_mean_other_things() {
    let codes = "exit_codes: { 0: reject, 9: ack, 10: requeue, default: reject }\n";
    // What came back is done.
    let text = "read -r code; [ $WARRENER_REDELIVERED = true ] && exit 9; exit $code";
    let mut case = run(text, codes).await;
    case.send(&["0\n", "9\n", "10\n", "11\n"]).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    case.wait_settled();
    let dead = case.outside.take_all("dead").await;
    let mut dead: Vec<_> = dead.iter().map(|dead| dead.header("warrener-error")).collect();
    dead.sort();
    assert_eq!(dead, ["exit code 0", "exit code 11"]);
    let books = stop(&mut case);
    let counts = ["acked", "requeued", "dead_lettered"].map(|name| books.count(name));
    assert_eq!(counts, [2, 1, 2]);
}

/// All of it is in the environment, and as many run at once as the file says.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_has_its_message_in_its_environment() {
    let text = "env | grep ^WARRENER_ | sort > env.$WARRENER_MESSAGE_ID
mkdir run.$$; ls -d run.* | wc -l >> running; sleep 0.3; rmdir run.$$";
    let mut case = run(text, "workers: 2\nprefetch: 2\ntimeout: 30s\n").await;
    let asking = lapin::BasicProperties::default()
        .with_correlation_id("c 7".into())
        .with_reply_to("answers".into())
        .with_content_type("text/x; y=$(id)".into());
    let before = jiff::Timestamp::now();
    case.outside.publish_with("work", (0..6).map(|number| number.to_string()), asking).await;
    wait_until("six to run", PATIENCE, || {
        fs::read_to_string(case.supervisor.path("running"))
            .is_ok_and(|text| text.lines().count() == 6)
    });
    case.wait_settled();
    let environment = fs::read_to_string(case.supervisor.path("env.4")).unwrap();
    let (told, deadline): (Vec<&str>, Vec<&str>) =
        environment.lines().partition(|line| !line.starts_with("WARRENER_DEADLINE="));
    let told: Vec<_> = told.into_iter().filter(|line| !line.starts_with("WARRENER_ID=")).collect();
    assert_eq!(
        told,
        [
            "WARRENER_ATTEMPT=1",
            "WARRENER_CONSUMER=worker",
            "WARRENER_CONTENT_TYPE=text/x; y=$(id)",
            "WARRENER_CORRELATION_ID=c 7",
            "WARRENER_EXCHANGE=",
            "WARRENER_MESSAGE_ID=4",
            "WARRENER_QUEUE=work",
            "WARRENER_REDELIVERED=false",
            "WARRENER_REPLY_TO=answers",
            "WARRENER_ROUTING_KEY=work",
        ]
    );
    let deadline = deadline[0].split_once('=').unwrap().1;
    let left = deadline.parse::<jiff::Timestamp>().unwrap().duration_since(before).as_secs();
    assert!((29..40).contains(&left), "{left} s");
    let running = fs::read_to_string(case.supervisor.path("running")).unwrap();
    let most = running.lines().map(|line| line.trim().parse::<u32>().unwrap()).max();
    assert_eq!(most, Some(2), "{running}");
    assert_eq!(stop(&mut case).count("acked"), 6);
}

/// Its message is done when it ends, whoever still holds its pipes; and those are ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_leaves_behind_keeps_no_message_waiting() {
    for (way, reply) in [("sleep 600 &", "none"), ("setsid sleep 600 &", "stdout")] {
        let mut case = Case::prepare().await;
        let keys = script(&case, &format!("cat; {way} echo $! >> left")) + "prefetch: 10\n";
        let queues = crate::support::case::QUEUES;
        let keys = format!("{keys}reply: {reply}\nstop: {{ grace: 5s }}\n");
        case.write(&format!(
            "{queues}  answers: {{}}\nconsumers:\n{}",
            consumer("worker", "work", &keys)
        ));
        case.supervisor.start();
        case.supervisor.wait_for("started: topology");
        let asking = lapin::BasicProperties::default().with_reply_to("answers".into());
        let start = Instant::now();
        case.outside.publish_with("work", (0..5).map(|number| number.to_string()), asking).await;
        let left = || fs::read_to_string(case.supervisor.path("left")).unwrap_or_default();
        wait_until("five to run", PATIENCE, || left().lines().count() == 5);
        case.wait_settled();
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        for pid in left().lines().map(|pid| pid.parse().unwrap()) {
            wait_until("its end", PATIENCE, || !alive(pid));
        }
        case.supervisor.wait_for("its process left others behind when it ended: they are killed");
        if reply == "stdout" {
            let mut answers = case.outside.take_all("answers").await;
            answers.sort_by(|one, other| one.body.cmp(&other.body));
            let answers: Vec<_> = answers.iter().map(|answer| answer.body.as_str()).collect();
            assert_eq!(answers, ["0", "1", "2", "3", "4"]);
        }
        assert_eq!(stop(&mut case).count("acked"), 5, "{way}");
        assert_eq!(case.logged("left others behind"), 1, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_is_ended() {
    let text = "echo $$ > pid; exec sleep 600";
    let mut case = run(text, "timeout: 300ms\n").await;
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "timeout");
    let pid = fs::read_to_string(case.supervisor.path("pid")).unwrap().trim().parse().unwrap();
    assert!(!alive(pid));
    assert_eq!(stop(&mut case).count("dead_lettered"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_command_no_message_is_taken_until_there_is_one() {
    let mut case = Case::prepare().await;
    let keys = script(&case, "exit 0").replace("sh, one message.sh", "./not yet");
    let other = consumer("other", "dead", "command: [\"true\"]\nprotocol: exec\ndiscard: true");
    case.write(&format!(
        "{}consumers:\n{}{other}",
        crate::support::case::QUEUES,
        consumer("worker", "work", &keys)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("not yet` does not exist");
    case.supervisor.wait_for("started: topology");
    case.send(&["a", "b"]).await;
    case.outside.publish("dead", ["c".to_owned()]).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
    assert_eq!(case.outside.depth("work").await, Some(2));
    assert_eq!(case.outside.consumers("work").await, Some(0));
    std::os::unix::fs::symlink("/bin/true", case.supervisor.path("not yet")).unwrap();
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.supervisor.wait_for("worker[0]: consuming");
    assert!(stop(&mut case).count("acked") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_lets_what_runs_end_and_gives_the_rest_back() {
    const MESSAGES: u32 = 300;
    let text = "sleep 0.2; echo $WARRENER_MESSAGE_ID >> ledger";
    let mut case = run(text, "workers: 4\nprefetch: 50\nstop: { grace: 5s }\n").await;
    case.outside.publish("work", (0..MESSAGES).map(|number| number.to_string())).await;
    case.wait_handled(8);
    let start = Instant::now();
    let books = case.stop(Duration::from_secs(6));
    // Two hundred wait in four workers: ten seconds of work, of which nothing more is begun.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let handled = case.ledger();
    assert!(handled.values().all(|times| *times == 1), "something was handled twice");
    let handled = u32::try_from(handled.len()).unwrap();
    assert_eq!(books.count("acked"), u64::from(handled));
    case.outside.wait_for_depth("work", MESSAGES - handled, PATIENCE).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_its_input_unread_is_judged_by_its_exit_code() {
    let mut case = run("exit 0", "max_message: 1MiB\n").await;
    case.send(&["x".repeat(1 << 20).as_str(), "x".repeat((1 << 20) + 1).as_str()]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "too_large");
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let books = stop(&mut case);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_channel_does_not_end_what_runs_and_settles_nothing_twice() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    let text = "sleep 0.5; echo $WARRENER_MESSAGE_ID >> ledger";
    let keys = script(&case, text) + "stop: { grace: 5s }\n";
    case.start(&keys);
    case.supervisor.wait_for("started: topology");
    case.send(&["a", "b"]).await;
    wait_until("one that runs", PATIENCE, || !case.supervisor.children().is_empty());
    proxy.cut();
    case.wait_handled(2);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.stop(Duration::from_secs(6));
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
}

/// Processes of a user of their own, until dropped.
struct Crowd(Vec<std::process::Child>);

impl Crowd {
    fn of(user: u32, count: usize) -> Self {
        use std::os::unix::process::CommandExt as _;
        let one = |_| std::process::Command::new("sleep").arg("600").uid(user).spawn().unwrap();
        Self((0..count).map(one).collect())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for one in &mut self.0 {
            let _ = one.kill();
            let _ = one.wait();
        }
    }
}

/// A consumer whose user has as many processes as it may, so that the system refuses another one
/// until the crowd goes; none where the tests do not run as root. A message of its queue may be
/// given back twice.
async fn crowded(protocol: &str, intensity: u32) -> Option<(Case, Crowd)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let mut case = Case::prepare().await;
    let user = fastrand::u32(100_000..1_000_000_000);
    let crowd = Crowd::of(user, 5);
    let told = case.supervisor.path("told");
    fs::write(&told, "").unwrap();
    std::os::unix::fs::chown(&told, Some(user), None).unwrap();
    let script = format!(
        "[ \"$$WARRENER_ATTEMPT\" ] || exec cat; echo $$WARRENER_REDELIVERED >> \"{}\"",
        told.display()
    );
    let keys = format!(
        "shell: '{script}'\nprotocol: {protocol}\ncwd: /\nuser: \"{user}\"\ngroup: \"{user}\"\nlimits: {{ processes: 4 }}\n\
         restart: {{ backoff: 50ms, backoff_max: 200ms, reset_after: 100ms, intensity: {{ max: {intensity}, period: 1m }} }}\n"
    );
    case.write(&format!(
        "queues:\n  work: {{ type: quorum, delivery_limit: 2, dead_letter: {{ queue: dead }} }}\n  dead: {{}}\nconsumers:\n{}",
        consumer("worker", "work", &keys)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    Some((case, crowd))
}

const REFUSED: &str =
    "cannot start: cannot start `/bin/sh` in `/`: Resource temporarily unavailable";

fn refused(case: &Case, times: usize) {
    let already = case.logged(REFUSED);
    wait_until("it to be refused", PATIENCE, || case.logged(REFUSED) >= already + times);
}

/// What so many processes have written down.
fn told(case: &Case, lines: usize) -> String {
    let read = || fs::read_to_string(case.supervisor.path("told")).unwrap();
    wait_until("the processes", PATIENCE, || read().lines().count() == lines);
    read()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_process_the_system_refuses_is_kept_until_there_is_one() {
    let Some((mut case, crowd)) = crowded("exec", 1000).await else { return };
    case.send(&["a", "b", "c"]).await;
    refused(&case, 5);
    let said = case.supervisor.run(&["status"]);
    assert!(said.out.contains("Resource temporarily unavailable"), "{}", said.out);
    drop(crowd);
    assert_eq!(told(&case, 3), "false\nfalse\nfalse\n");
    let books = stop(&mut case);
    assert_eq!(["received", "acked", "released"].map(|name| books.count(name)), [3, 3, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_gives_back_what_waits_for_its_process() {
    let Some((mut case, crowd)) = crowded("exec", 1000).await else { return };
    case.send(&["a"]).await;
    refused(&case, 2);
    assert_eq!(case.supervisor.run(&["pause", "worker"]).code, Some(0));
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
    drop(crowd);
    assert_eq!(case.supervisor.run(&["resume", "worker"]).code, Some(0));
    told(&case, 1);
    let books = stop(&mut case);
    assert_eq!(["received", "acked", "released"].map(|name| books.count(name)), [2, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_cut_off_takes_no_message_until_a_process_would_start() {
    let Some((mut case, crowd)) = crowded("exec", 2).await else { return };
    case.send(&["a", "b", "c"]).await;
    case.supervisor.wait_for("it takes no more messages");
    // Each time with one worker that is tried: with a message it would have used up its tries.
    refused(&case, 4);
    case.outside.wait_for_consumers("work", 0, PATIENCE).await;
    case.outside.wait_for_depth("work", 3, PATIENCE).await;
    drop(crowd);
    told(&case, 3);
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
    let books = stop(&mut case);
    assert_eq!(["received", "acked", "released"].map(|name| books.count(name)), [4, 3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_taken_for_a_worker_whose_process_the_system_refuses() {
    let Some((mut case, crowd)) = crowded("lines", 1000).await else { return };
    case.send(&["ack", "ack"]).await;
    refused(&case, 5);
    case.outside.wait_for_consumers("work", 0, PATIENCE).await;
    // The broker counts what a quorum queue holds every few seconds.
    wait_until("both to be counted", PATIENCE, || case.unsettled() == Some(2));
    drop(crowd);
    case.wait_settled();
    let books = stop(&mut case);
    assert_eq!(["received", "acked", "released"].map(|name| books.count(name)), [2, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_told_while_the_next_process_takes_long() {
    let text = "read -r word\n[ $word = wait ] || exit 0\nuntil [ -e go ]; do sleep 0.01; done\n";
    let mut case = run(text, "workers: 1\nprefetch: 40\n").await;
    case.send(&["0\n", "0\n", "0\n", "wait\n", "0\n"]).await;
    // The one that takes long, and the one behind it.
    wait_until("the first three to be settled", PATIENCE, || case.unsettled() == Some(2));
    case.supervisor.write("go", "");
    case.wait_settled();
    let books = stop(&mut case);
    assert_eq!((books.count("acked"), books.count("duplicates")), (5, 0));
}
