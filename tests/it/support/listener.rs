//! A way to the management API on which is seen what is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::broker::management_url;

/// A request, and the status that answers it so many times instead of its being passed on.
type Lie = (String, &'static str, usize);

/// A way to the management API that notes what is asked, one request a connection, and can lie.
pub(crate) struct Listener {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl Listener {
    pub(crate) fn start() -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked since the last time: method and path, without what all paths begin with.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody panics"))
    }

    /// Gives that answer, a status, to the next requests like this one.
    pub(crate) fn lie(&self, request: String, answer: &'static str, times: usize) {
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
