//! The rules of the house, held by a test: who may use whom, what pure rooms never touch, and what
//! every file looks like. `docs/architecture.md` has the reasons at length.
//!
//! The rules are about what ships. Unit tests (`tests.rs`, `tests/`) may use any room to set up
//! what they need; the rules about the look of files hold for them as well.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::{Mention, code_only, paths};

/// Every room, the rooms it may use, and why each of them. What is not here is not allowed.
/// Everyone but `model`, which telemetry itself uses, may count: see [`EVERYBODYS`].
const ROOMS: &[(&str, &[(&str, &str)])] = &[
    ("model", &[]),
    ("config", &[("model", "what it builds")]),
    ("plan", &[("model", "what it compares"), ("config", "spans, to show where a value stands")]),
    ("definitions", &[("model", "what it builds and writes")]),
    ("lint", &[("model", "what it judges")]),
    ("protocol", &[("model", "deliveries and the wire's settings")]),
    ("supervise", &[("model", "restart and retry settings")]),
    ("telemetry", &[("model", "names of consumers")]),
    ("files", &[("model", "problems with places"), ("config", "the list of sources it fills")]),
    (
        "broker",
        &[
            ("model", "resources and deliveries"),
            ("plan", "what it observed, and what it is to apply"),
            ("protocol", "settlements"),
            ("supervise", "pauses between attempts to connect"),
        ],
    ),
    ("process", &[("model", "what to execute"), ("protocol", "the bytes of both directions")]),
    ("sandbox", &[]),
    (
        "engine",
        &[
            ("model", "wiring"),
            ("config", "wiring"),
            ("plan", "wiring"),
            ("lint", "wiring"),
            ("protocol", "wiring"),
            ("supervise", "wiring"),
            ("files", "wiring"),
            ("broker", "wiring"),
            ("process", "wiring"),
        ],
    ),
    ("admin", &[("model", "names of consumers and stacks"), ("engine", "what it can be asked")]),
    (
        "cli",
        &[
            ("admin", "front end"),
            ("model", "front end"),
            ("config", "front end"),
            ("definitions", "front end"),
            ("plan", "front end"),
            ("lint", "front end"),
            ("files", "front end"),
            ("broker", "front end"),
            ("sandbox", "front end of `warrener dev`"),
            ("engine", "front end"),
        ],
    ),
];

/// Names that any room above `model` may use: a thing is counted where it happens.
const EVERYBODYS: &str = "telemetry";

/// Rooms without IO, clock, environment and async, so that they can be tested by tables.
const PURE: &[&str] = &["model", "config", "definitions", "plan", "lint", "protocol", "supervise"];

/// Beginnings of paths that no pure room speaks, and what each would bring in.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "async and IO"),
    ("std::fs", "files"),
    ("std::net", "the network"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("std::time::SystemTime::now", "the clock"),
    ("std::time::Instant::now", "the clock"),
    ("SystemTime::now", "the clock"),
    ("Instant::now", "the clock"),
    ("Timestamp::now", "the clock"),
    ("jiff::Timestamp::now", "the clock"),
    ("Zoned::now", "the clock"),
    ("lapin", "the network"),
    ("reqwest", "the network"),
    ("notify", "files"),
    ("tempfile", "files"),
    ("glob", "files"),
    ("nix", "system calls"),
    ("rustix", "system calls"),
    ("fastrand", "chance; take the seed or the number as an argument"),
];

/// Names under which things are put that have no place.
const NO_PLACE: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "manager", "misc", "shared"];

const LONGEST_FILE: usize = 500;

/// One file below the top of the repository.
struct Place<'a> {
    path: &'a str,
    /// Its folder below `src/`, where it is in one.
    room: Option<&'a str>,
    /// Names of modules from the room down to the file.
    modules: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn new(path: &'a str) -> Self {
        let inside = path.strip_prefix("src/").map(|inside| inside.trim_end_matches(".rs"));
        let modules: Vec<_> =
            inside.unwrap_or("").split('/').filter(|part| !matches!(*part, "" | "mod")).collect();
        let in_room = inside.is_some_and(|inside| inside.contains('/'));
        Self { path, room: in_room.then(|| modules[0]), modules }
    }

    fn is_test(&self) -> bool {
        self.room.is_none() || self.modules.contains(&"tests")
    }

    fn at(&self, line: usize, words: &str) -> String {
        format!("{}:{line}: {words}", self.path)
    }
}

/// What is wrong with one Rust file.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let place = Place::new(path);
    let code = code_only(text);
    let mentions = paths(&code);
    let mut found = looks(&place, text, &code);
    if !place.is_test() {
        found.extend(mentions.iter().filter_map(|mention| layer(&place, mention)));
        found.extend(mentions.iter().filter_map(|mention| purity(&place, mention)));
    }
    if let Some(at) = mentions.iter().find(|mention| mention.path == "unsafe")
        && place.room != Some("process")
    {
        found.push(place.at(at.line, "`unsafe` outside src/process, where alone it is reviewed"));
    }
    if path.ends_with("/mod.rs")
        && let Some(at) = mentions.iter().find(|mention| mention.path == "fn")
    {
        found.push(place.at(at.line, "logic in a `mod.rs`: it has a header and re-exports only"));
    }
    found
}

/// Size, header and attributes.
fn looks(place: &Place<'_>, text: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//! ") {
        found.push(place.at(1, "a file opens with `//!`: what it promises, for the newcomer"));
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        let words = format!("{lines} lines: above {LONGEST_FILE} a file holds two subjects");
        found.push(place.at(lines, &words));
    }
    for (number, line) in code.lines().enumerate() {
        let line: String = line.split_whitespace().collect();
        if line.contains("#[allow(") || line.contains("#![allow(") {
            let words = "use `#[expect(…, reason = \"…\")]`: it says why and complains when stale";
            found.push(place.at(number + 1, words));
        }
    }
    if let Some(name) = place.modules.iter().find(|name| NO_PLACE.contains(name)) {
        found.push(place.at(1, &format!("`{name}` names no subject: put each thing in its room")));
    }
    found
}

fn layer(place: &Place<'_>, mention: &Mention) -> Option<String> {
    let room = place.room?;
    let mut parts = mention.path.split("::");
    let first = parts.next()?;
    if first == "super" {
        let climbs = 1 + parts.take_while(|part| *part == "super").count();
        return (climbs >= place.modules.len()).then(|| {
            place.at(mention.line, "`super` leaves the room: say `crate::…`, so that it is seen")
        });
    }
    let used = parts.next().filter(|_| matches!(first, "crate" | "warrener"))?;
    // Macros of the crate stand at its root; so does nothing else that is not a room.
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return Some(place.at(mention.line, &format!("the room `{room}` has no row in ROOMS")));
    };
    let fine = used == room
        || allowed.iter().any(|(name, _)| *name == used)
        || (used == EVERYBODYS && room != "model");
    (!fine).then(|| {
        let words = format!(
            "`{room}` uses `{used}`, which the layers do not allow: what both need belongs in a \
             room below them, or the engine hands it over"
        );
        place.at(mention.line, &words)
    })
}

fn purity(place: &Place<'_>, mention: &Mention) -> Option<String> {
    let room = place.room.filter(|room| PURE.contains(room))?;
    let is_async = matches!(mention.path.as_str(), "async" | "await").then_some("async");
    let brings = is_async.or_else(|| {
        IMPURE.iter().find_map(|(banned, brings)| {
            let rest = mention.path.strip_prefix(banned)?;
            (rest.is_empty() || rest.starts_with("::")).then_some(*brings)
        })
    })?;
    let words = format!(
        "`{}` brings {brings} into the pure room `{room}`: take the value as an argument, or do \
         it in an edge",
        mention.path
    );
    Some(place.at(mention.line, &words))
}

/// The same for every text file: paths that exist on one machine only.
fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Spelled in halves, because this file is checked as well.
    let banned = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/tm", "p/")];
    let of = |(number, line): (usize, &str)| {
        let found = banned.iter().find(|banned| line.contains(**banned))?;
        Some(format!("{path}:{}: `{found}…` is a place of one machine", number + 1))
    };
    text.lines().enumerate().filter_map(of).collect()
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that could be committed, by its path from the top. What is hidden at the top, but
/// for the folder of the continuous integration, and what is built are left out.
fn files() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let skipped = (name.starts_with('.')
                && !matches!(name, ".ci" | ".github" | ".gitignore"))
                || matches!(name, "target" | "__pycache__" | "node_modules");
            if skipped {
                continue;
            }
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&top(), &mut found);
    found.sort();
    let name = |path: &Path| {
        path.strip_prefix(top()).expect("below the top").to_string_lossy().into_owned()
    };
    found.into_iter().map(|path| (name(&path), path)).collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "the house has rules:\n{}\n", complaints.join("\n"));
}

#[test]
fn every_rust_file_keeps_the_rules() {
    let mut found = Vec::new();
    let mut checked = 0;
    for (name, path) in files() {
        if Path::new(&name).extension().is_some_and(|ending| ending == "rs") {
            checked += 1;
            found.extend(complaints(&name, &fs::read_to_string(path).expect("source is UTF-8")));
        }
    }
    assert!(checked > 20, "only {checked} Rust files were found: the test looks in a wrong place");
    assert_none(&found);
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let texts = files().into_iter().filter_map(|(name, path)| {
        // What is not UTF-8 is no text.
        Some((name, fs::read_to_string(path).ok()?))
    });
    assert_none(&texts.flat_map(|(name, text)| machine_paths(&name, &text)).collect::<Vec<_>>());
}

#[test]
fn every_integration_test_is_in_the_table_of_contents() {
    let contents = fs::read_to_string(top().join("tests/it/main.rs")).expect("it exists");
    let missing: Vec<_> = files()
        .into_iter()
        .filter_map(|(name, _)| {
            let topic = name.strip_prefix("tests/it/")?.strip_suffix(".rs")?.to_owned();
            let listed = contents.lines().any(|line| line.trim() == format!("mod {topic};"));
            (topic != "main" && !topic.contains('/') && !listed)
                .then(|| format!("{name}: not in tests/it/main.rs, so it never runs"))
        })
        .collect();
    assert_none(&missing);
}

/// Each rule, broken once: a checker that finds nothing proves nothing.
#[test]
fn every_rule_is_noticed_when_broken() {
    let found = |path: &str, code: &str| complaints(path, &format!("//! Says what.\n{code}"));
    let breaks = |path: &str, code: &str, words: &str| {
        let found = found(path, code);
        assert!(found.len() == 1 && found[0].contains(words), "{path}: {code}\n{found:#?}");
    };
    let keeps = |path: &str, code: &str| assert_none(&found(path, code));

    breaks("src/model/x.rs", "use crate::plan::Plan;", "`model` uses `plan`");
    breaks("src/model/x.rs", "use crate::telemetry::Reason;", "`model` uses `telemetry`");
    breaks("src/plan/x.rs", "use crate::{model::Queue, lint::Rule};", "`plan` uses `lint`");
    breaks("src/broker/amqp/x.rs", "fn f() { crate::engine::go() }", "`broker` uses `engine`");
    breaks("src/files/x.rs", "use super::super::broker::X;", "`super` leaves the room");
    breaks("src/attic/x.rs", "use crate::model::Queue;", "no row in ROOMS");
    keeps("src/files/x.rs", "use super::read; use crate::config::Source; // crate::engine");
    keeps("src/broker/amqp/x.rs", "use super::super::management; use crate::telemetry::Reason;");
    keeps("src/lint/tests.rs", "use crate::config::load;");

    breaks("src/config/x.rs", "use std::{fmt, fs};", "brings files into the pure room");
    breaks("src/plan/x.rs", "fn f() { std::env::var(\"X\"); }", "brings the environment");
    breaks("src/supervise/x.rs", "fn f() { let now = Instant::now(); }", "brings the clock");
    breaks("src/protocol/x.rs", "use tokio::io::AsyncRead;", "brings async and IO");
    breaks("src/lint/x.rs", "async fn f() {}", "brings async");
    keeps("src/supervise/x.rs", "use std::time::Instant; fn f(now: Instant) {}");
    keeps("src/process/x.rs", "use tokio::process::Command;");

    breaks("src/broker/x.rs", "fn f() { unsafe { g() } }", "`unsafe` outside src/process");
    breaks("tests/it/x.rs", "fn f() { unsafe { g() } }", "`unsafe` outside src/process");
    keeps("src/process/x.rs", "#![deny(unsafe_code)] fn f() { unsafe { g() } }");
    breaks("src/broker/mod.rs", "pub fn f() {}", "logic in a `mod.rs`");
    keeps("src/broker/mod.rs", "mod a; pub use a::f; // fn");
    breaks("src/broker/utils.rs", "", "names no subject");
    breaks("src/helpers/x.rs", "", "names no subject");
    breaks("src/broker/x.rs", "#[allow(dead_code)] fn f() {}", "#[expect(");
    breaks("tests/it/x.rs", "#![ allow (dead_code)]", "#[expect(");
    keeps("src/broker/x.rs", "// no #[allow(…)] here\nfn f() { g(\"#[allow(x)]\") }");

    breaks("src/broker/x.rs", &"// x\n".repeat(LONGEST_FILE), "501 lines");
    keeps("src/broker/x.rs", &"// x\n".repeat(LONGEST_FILE - 1));
    let headless = complaints("benches/x.rs", "fn main() {}");
    assert!(headless.len() == 1 && headless[0].contains("opens with `//!`"), "{headless:?}");

    let log = format!("log: {}", concat!("/tm", "p/x.log"));
    assert_eq!(machine_paths("docs/x.md", &log).len(), 1);
    assert!(machine_paths("docs/x.md", "a temporary folder").is_empty());
}
