//! Small changes of a stack that has much: what is asked of the broker for them, and that nothing is
//! missed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::broker::management_url;
use crate::support::stack::Stack;

/// Bindings of the large stack: with them it owns over a thousand things.
const MANY: usize = 1100;

/// A request, and the answer that it is given instead of being passed on, so many times.
type Lie = (String, &'static str, usize);

/// A way to the management API that notes what is asked, one request a connection, and can lie.
struct Listener {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let all = Self { port, asked: Arc::default(), lie: Arc::default() };
        let (asked, lie) = (all.asked.clone(), all.lie.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (asked, lie) = (asked.clone(), lie.clone());
                std::thread::spawn(move || pass_on(client, &asked, &lie));
            }
        });
        all
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked since the last time, without what all requests begin with.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody panics"))
    }

    fn lie(&self, request: String, answer: &'static str, times: usize) {
        *self.lie.lock().expect("nobody panics") = Some((request, answer, times));
    }
}

/// Passes one request and its answer on, and closes.
fn pass_on(client: TcpStream, asked: &Mutex<Vec<String>>, lie: &Mutex<Option<Lie>>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let request = head.lines().next()?.replace(" /api/", " ").replace(" HTTP/1.1", "");
    let lie = {
        let mut lie = lie.lock().expect("nobody panics");
        let lie = lie.as_mut().filter(|(about, _, left)| request == *about && *left > 0);
        lie.map(|(_, answer, left)| {
            *left -= 1;
            *answer
        })
    };
    asked.lock().expect("nobody panics").push(request);
    let length = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<u64>().ok()).flatten()
    };
    let length = head.lines().find_map(length).unwrap_or_default();
    if let Some(answer) = lie {
        std::io::copy(&mut client.by_ref().take(length), &mut std::io::sink()).ok()?;
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return client.get_mut().write_all(answer.as_bytes()).ok();
    }
    let mut server = TcpStream::connect(management_url().replace("http://", "")).ok()?;
    let head = head.trim_end().to_owned() + "\r\nconnection: close\r\n\r\n";
    server.write_all(head.as_bytes()).ok()?;
    std::io::copy(&mut client.by_ref().take(length), &mut server).ok()?;
    std::io::copy(&mut server, client.get_mut()).ok().map(drop)
}

/// A stack with many bindings that was applied, and what it asks for over the listener.
fn large() -> (Stack, Listener) {
    let listener = Listener::start();
    let bind: Vec<_> =
        (0..MANY).map(|nth| json!({"exchange": "letters", "key": format!("key.{nth}")})).collect();
    let mut stack = Stack::new(json!({
        "exchanges": {"letters": {"type": "topic"}},
        "queues": {"work": {"bind": bind}},
    }));
    stack.document["broker"]["management"] = json!(listener.url());
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    listener.asked();
    (stack, listener)
}

/// How often everything was looked at.
fn looks(asked: &[String]) -> usize {
    asked.iter().filter(|request| request.starts_with("GET definitions/")).count()
}

/// The names of what the ledgers of the stack have: of the large one, and of what was added to it.
fn owned(stack: &Stack) -> (Value, Option<Value>) {
    let vhost = stack.vhost();
    let parameters = get("global-parameters");
    let parameters = parameters.as_array().expect("a list");
    let named = |name: &str| {
        let found = parameters.iter().find(|parameter| parameter["name"] == name)?;
        Some(found["value"]["owned"][vhost]["queues"].clone())
    };
    let whole = named(&format!("warrener.test@{vhost}")).expect("a ledger");
    (whole, named(&format!("warrener.+test@{vhost}")))
}

#[test]
fn what_is_new_alone_is_looked_at_and_noted_after_it_was_applied() {
    let (mut stack, listener) = large();
    let bind = json!([{"exchange": "letters", "key": "new"}]);
    stack.document["queues"]["new"] = json!({"bind": bind});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let asked = listener.asked();
    assert_eq!(looks(&asked), 1, "{asked:#?}");
    let vhost = stack.vhost().to_owned();
    for place in ["", "/bindings"] {
        let request = format!("GET queues/{vhost}/new{place}");
        assert!(asked.contains(&request), "{asked:#?}");
    }
    assert_eq!(owned(&stack), (json!(["work"]), Some(json!(["new"]))));

    // What was added counts, and what is added to it comes to it.
    stack.document["queues"]["newer"] = json!({});
    stack.document["policies"] =
        json!({"short": {"pattern": "^new", "definition": {"max-length": 3}}});
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(looks(&listener.asked()), 1);
    assert_eq!(owned(&stack), (json!(["work"]), Some(json!(["new", "newer"]))));

    // With nothing to do, the two become one.
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(owned(&stack), (json!(["new", "newer", "work"]), None));
    stack.document["queues"].as_object_mut().expect("a map").remove("new");
    listener.asked();
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(pruned.out.ends_with("0 created, 0 updated, 2 deleted\n"), "{pruned:?}");
    assert_eq!(looks(&listener.asked()), 1);
    assert_eq!(owned(&stack), (json!(["newer", "work"]), None));
    assert_eq!(stack.plan().code, Some(0));
}

/// What is not found where it should be takes a look at everything, and what that does not find is
/// said.
#[test]
fn what_is_not_found_afterwards_is_looked_for_and_said() {
    let (mut stack, listener) = large();
    let vhost = stack.vhost().to_owned();
    stack.document["queues"]["late"] = json!({});
    listener.lie(format!("GET queues/{vhost}/late"), "404 Not Found", 1);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(looks(&listener.asked()), 2, "one for the plan, and one after the short one");

    // A step that has come to nothing although the broker said that it was taken.
    stack.document["policies"] =
        json!({"short": {"pattern": "^new", "definition": {"max-length": 3}}});
    listener.lie(format!("PUT policies/{vhost}/short"), "204 No Content", 1);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(3), "{applied:?}");
    assert!(applied.out.contains("+ policy short"), "{applied:?}");
    assert!(looks(&listener.asked()) > 2);
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(looks(&listener.asked()), 1);
}

/// What is made anew takes a look at everything: other things hang on it.
#[test]
fn what_was_made_anew_is_looked_at_with_everything() {
    let (mut stack, listener) = large();
    stack.document["queues"]["small"] = json!({});
    assert_eq!(stack.apply().code, Some(0));
    listener.asked();
    stack.document["queues"]["small"] = json!({"type": "quorum", "on_conflict": "replace"});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("0 created, 0 updated, 1 replaced\n"), "{applied:?}");
    assert_eq!(looks(&listener.asked()), 2);
    api(Method::DELETE, &format!("queues/{}/small", stack.vhost()), None);
    assert_eq!(stack.plan().code, Some(2));
}
