//! Lines by table, and the decoder under any bytes in any pieces.

use std::fmt::Write as _;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::model::Epoch;
use crate::protocol::DeliveryId;

mod published;

use published::published;

/// One line of text for what a line was read as.
fn show(line: &Line<'_>) -> String {
    match line {
        Line::Reply(Reply { target, multiple, verdict }) => {
            let target = match target {
                Target::Oldest => "oldest".to_owned(),
                Target::Id(id) if *multiple => format!("up to {id}"),
                Target::Id(id) => id.to_string(),
            };
            match verdict {
                Verdict::AckAfter(output) => format!("{target}: Ack after {}", published(output)),
                verdict => format!("{target}: {verdict:?}"),
            }
        }
        Line::Log(text) => format!("log `{}`", excerpt(text)),
        Line::Structured { level, text, json } => {
            format!("{level:?} `{text}`{}", if json.is_some() { " and more" } else { "" })
        }
        Line::Fault(fault) => format!("FAULT {:?}", fault.kind),
        Line::Ready => "ready".to_owned(),
        Line::Stop => "stop".to_owned(),
        Line::TooLong => "TOO LONG".to_owned(),
    }
}

fn decode(pieces: &[&[u8]], max_reply: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut decoder = Decoder::new(max_reply);
    let mut sink = |line: Line<'_>| lines.push(show(&line));
    for piece in pieces {
        decoder.feed(piece, &mut sink);
    }
    decoder.finish(&mut sink);
    lines
}

/// Each line of `text` beside what it is read as.
fn table(text: &str) -> String {
    let mut table = String::new();
    for line in text.trim().lines().map(str::trim) {
        let read = decode(&[line.as_bytes(), b"\n"], 1 << 20);
        writeln!(table, "{line}  =>  {}", read.join(" | ")).unwrap();
    }
    table
}

#[test]
fn words() {
    assert_snapshot!(table(
        "
        ack
        ack 3-42
        ack now please
        ack 3-42 done
        acknowledged 3-42
        Ack 3-42
        ack 03-42
        ack 3-0
        ack 4294967296-1
        requeue
        requeue 3-42
        requeue later
        nack
        nack 3-42
        nack 3-42 the disk is full
        nack the disk is full
        reject 3-42   no such order
        retry
        retry 30s
        retry 3-42 30s
        retry 1h30m busy, come back
        retry 3-42 soon
        retry soon
        retry 3-42 -1s
        retry 3-42 3650d
        retry 30
        extend 30s
        extend 3-42 30s
        extend 3-42 30s please
        extend 30s please
        log warn disk at 91 %
        log WARNING disk at 91 %
        log something
        log
        ready
        ready to rumble
        stop
        stop it
        hello
        "
    ), @r#"
    ack  =>  oldest: Ack
    ack 3-42  =>  3-42: Ack
    ack now please  =>  log `ack now please`
    ack 3-42 done  =>  FAULT Words(Ack)
    acknowledged 3-42  =>  log `acknowledged 3-42`
    Ack 3-42  =>  log `Ack 3-42`
    ack 03-42  =>  log `ack 03-42`
    ack 3-0  =>  log `ack 3-0`
    ack 4294967296-1  =>  log `ack 4294967296-1`
    requeue  =>  oldest: Requeue
    requeue 3-42  =>  3-42: Requeue
    requeue later  =>  log `requeue later`
    nack  =>  oldest: Nack { reason: None }
    nack 3-42  =>  3-42: Nack { reason: None }
    nack 3-42 the disk is full  =>  3-42: Nack { reason: Some("the disk is full") }
    nack the disk is full  =>  oldest: Nack { reason: Some("the disk is full") }
    reject 3-42   no such order  =>  3-42: Reject { reason: Some("no such order") }
    retry  =>  log `retry`
    retry 30s  =>  oldest: Retry { delay: 30s, reason: None }
    retry 3-42 30s  =>  3-42: Retry { delay: 30s, reason: None }
    retry 1h30m busy, come back  =>  oldest: Retry { delay: 5400s, reason: Some("busy, come back") }
    retry 3-42 soon  =>  FAULT Words(Retry)
    retry soon  =>  log `retry soon`
    retry 3-42 -1s  =>  3-42: Retry { delay: 0ns, reason: None }
    retry 3-42 3650d  =>  3-42: Retry { delay: 2073600s, reason: None }
    retry 30  =>  log `retry 30`
    extend 30s  =>  oldest: Extend(30s)
    extend 3-42 30s  =>  3-42: Extend(30s)
    extend 3-42 30s please  =>  FAULT Words(Extend)
    extend 30s please  =>  log `extend 30s please`
    log warn disk at 91 %  =>  Warn `disk at 91 %`
    log WARNING disk at 91 %  =>  Warn `disk at 91 %`
    log something  =>  log `log something`
    log  =>  log `log`
    ready  =>  ready
    ready to rumble  =>  log `ready to rumble`
    stop  =>  stop
    stop it  =>  log `stop it`
    hello  =>  log `hello`
    "#);
}

#[test]
fn objects() {
    assert_snapshot!(table(
        r#"
        {"id":"3-42","result":"ack"}
        {"result":"ack"}
        { "result" : "ack" , "id" : "3-42", "multiple": true }
        {"result":"ack","multiple":true}
        {"id":"3-42","result":"ack","multiple":1}
        {"id":3,"result":"ack"}
        {"id":null,"result":"ack"}
        {"id":"3-42x","result":"ack"}
        {"id":"3-42","result":"acked"}
        {"id":"3-42","result":7}
        {"id":"3-42","result":"nack","reason":"line\nbreak \u001b[31m \udc80"}
        {"id":"3-42","result":"nack","reason":null}
        {"id":"3-42","result":"nack","reason":""}
        {"id":"3-42","result":"nack","reason":{"code":7}}
        {"id":"3-42","result":"nack","delay":"30s"}
        {"id":"3-42","result":"retry","delay":"30s","reason":"busy"}
        {"id":"3-42","result":"retry","delay":30}
        {"id":"3-42","result":"retry"}
        {"id":"3-42","result":"reject","reason":"no such order","took":17}
        {"id":"3-42","result":"requeue"}
        {"id":"3-42","extend":"30s"}
        {"id":"3-42","extend":"30s","multiple":true}
        {"id":"3-42","result":"ack","extend":"30s"}
        {"id":"3-42","result":"ack","publish":[]}
        {"id":"3-42","result":"ack","publish":null,"reply":null}
        {"id":"3-42","result":"ack","reply":{"body":"x"}}
        {"id":"3-42","result":"ack","result":"nack"}
        {"id":"3-42","result":"ack","x":1,"x":2}
        {"\u0069d":"3-42","result":"\u0061ck"}
        {"log":"disk at 91 %","level":"warn"}
        {"log":"tab\there"}
        {"log":"disk","level":"warn","percent":91}
        {"log":{"logger":"main"},"message":"hello"}
        {"level":"info","msg":"hello","msg":"again"}
        {"ready":true}
        {"ready":true,"version":"1.2"}
        {"ready":"yes"}
        {"ready":false,"msg":"warming up"}
        {"stop":true}
        {"stop":true,"stop":true}
        {"result":"ack","stop":true}
        {"log":"done","stop":false}
        {"id":"3-42","result":"ack"} {"id":"3-43","result":"ack"}
        {"id":"3-42","result":"ack"
        {}
        {oops}
        ["ack"]
        "#
    ), @r#"
    {"id":"3-42","result":"ack"}  =>  3-42: Ack
    {"result":"ack"}  =>  oldest: Ack
    { "result" : "ack" , "id" : "3-42", "multiple": true }  =>  up to 3-42: Ack
    {"result":"ack","multiple":true}  =>  FAULT LoneMultiple
    {"id":"3-42","result":"ack","multiple":1}  =>  FAULT BadMultiple
    {"id":3,"result":"ack"}  =>  FAULT BadId
    {"id":null,"result":"ack"}  =>  FAULT BadId
    {"id":"3-42x","result":"ack"}  =>  FAULT BadId
    {"id":"3-42","result":"acked"}  =>  FAULT BadResult
    {"id":"3-42","result":7}  =>  FAULT BadResult
    {"id":"3-42","result":"nack","reason":"line\nbreak \u001b[31m \udc80"}  =>  3-42: Nack { reason: Some("line\\nbreak \\u{1b}[31m ���") }
    {"id":"3-42","result":"nack","reason":null}  =>  3-42: Nack { reason: None }
    {"id":"3-42","result":"nack","reason":""}  =>  3-42: Nack { reason: None }
    {"id":"3-42","result":"nack","reason":{"code":7}}  =>  FAULT BadReason
    {"id":"3-42","result":"nack","delay":"30s"}  =>  FAULT StrayDelay
    {"id":"3-42","result":"retry","delay":"30s","reason":"busy"}  =>  3-42: Retry { delay: 30s, reason: Some("busy") }
    {"id":"3-42","result":"retry","delay":30}  =>  FAULT BadDuration
    {"id":"3-42","result":"retry"}  =>  FAULT BadDuration
    {"id":"3-42","result":"reject","reason":"no such order","took":17}  =>  3-42: Reject { reason: Some("no such order") }
    {"id":"3-42","result":"requeue"}  =>  3-42: Requeue
    {"id":"3-42","extend":"30s"}  =>  3-42: Extend(30s)
    {"id":"3-42","extend":"30s","multiple":true}  =>  FAULT LoneMultiple
    {"id":"3-42","result":"ack","extend":"30s"}  =>  FAULT SeveralVerbs
    {"id":"3-42","result":"ack","publish":[]}  =>  3-42: Ack
    {"id":"3-42","result":"ack","publish":null,"reply":null}  =>  3-42: Ack
    {"id":"3-42","result":"ack","reply":{"body":"x"}}  =>  3-42: Ack after reply `x` mode 2 headers 0
    {"id":"3-42","result":"ack","result":"nack"}  =>  FAULT DuplicateKey
    {"id":"3-42","result":"ack","x":1,"x":2}  =>  FAULT DuplicateKey
    {"\u0069d":"3-42","result":"\u0061ck"}  =>  3-42: Ack
    {"log":"disk at 91 %","level":"warn"}  =>  Warn `disk at 91 %`
    {"log":"tab\there"}  =>  Info `tab	here`
    {"log":"disk","level":"warn","percent":91}  =>  Warn `disk` and more
    {"log":{"logger":"main"},"message":"hello"}  =>  log `{"log":{"logger":"main"},"message":"hello"}`
    {"level":"info","msg":"hello","msg":"again"}  =>  log `{"level":"info","msg":"hello","msg":"again"}`
    {"ready":true}  =>  ready
    {"ready":true,"version":"1.2"}  =>  ready
    {"ready":"yes"}  =>  log `{"ready":"yes"}`
    {"ready":false,"msg":"warming up"}  =>  log `{"ready":false,"msg":"warming up"}`
    {"stop":true}  =>  stop
    {"stop":true,"stop":true}  =>  FAULT DuplicateKey
    {"result":"ack","stop":true}  =>  FAULT SeveralVerbs
    {"log":"done","stop":false}  =>  Info `done` and more
    {"id":"3-42","result":"ack"} {"id":"3-43","result":"ack"}  =>  FAULT NotJson
    {"id":"3-42","result":"ack"  =>  FAULT NotJson
    {}  =>  log `{}`
    {oops}  =>  FAULT NotJson
    ["ack"]  =>  log `["ack"]`
    "#);
}

#[test]
fn nesting_is_limited_and_strings_do_not_count() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\"result\":\"ack\",\"x\":{open}{close},\"s\":\"{}\\\"[\"}}\n", "[".repeat(99))
    };
    assert_eq!(decode(&[nested(63).as_bytes()], 1 << 20), ["oldest: Ack"]);
    assert_eq!(decode(&[nested(64).as_bytes()], 1 << 20), ["FAULT TooDeep"]);
    assert_eq!(decode(&[nested(400_000).as_bytes()], 1 << 20), ["FAULT TooDeep"]);
}

#[test]
fn line_ends_and_blank_lines() {
    assert_eq!(
        decode(&[b"ack\r\n\n\r\n  \n{\"result\":\"ack\"}\r\nack 3-42 \n"], 64),
        ["oldest: Ack", "oldest: Ack", "3-42: Ack"]
    );
    assert_eq!(decode(&[b"  ack\n"], 64), ["log `  ack`"]);
}

#[test]
fn a_last_line_without_its_end_settles_nothing() {
    assert_eq!(decode(&[b"ack 3-4"], 64), ["log `ack 3-4`"]);
    assert_eq!(decode(&[b"{\"result\":\"ack\"}"], 64), ["log `{\"result\":\"ack\"}`"]);
    assert_eq!(decode(&[b"\r"], 64), Vec::<String>::new());
}

#[test]
fn an_over_long_line_is_said_once_and_passed_over() {
    let long = "x".repeat(65);
    let text = format!("ack\n{long}{long}\nack\n{}\nack\n", "y".repeat(64));
    let expected = [
        "oldest: Ack",
        "TOO LONG",
        "oldest: Ack",
        &format!("log `{}`", "y".repeat(64)),
        "oldest: Ack",
    ];
    assert_eq!(decode(&[text.as_bytes()], 64), expected);
    let mut decoder = Decoder::new(64);
    let mut said = 0;
    for _ in 0..1000 {
        decoder.feed(&[b'x'; 100], &mut |line| {
            assert_eq!(line, Line::TooLong);
            said += 1;
        });
    }
    assert_eq!(said, 1);
}

#[test]
fn answers_must_be_utf8_and_logs_need_not() {
    assert_eq!(
        decode(&[b"nack 3-42 \xff\n{\"result\":\"ack\",\"x\":\"\xff\"}\nprogress \xff\n"], 64),
        ["FAULT NotUtf8", "FAULT NotUtf8", "log `progress \u{fffd}`"]
    );
}

#[test]
fn a_reason_is_cut_and_harmless() {
    let line = format!("nack 3-42 \u{1b}[31m{}\n", "ä".repeat(5 << 20));
    let mut decoder = Decoder::new(16 << 20);
    let mut reasons = Vec::new();
    decoder.feed(line.as_bytes(), &mut |line| match line {
        Line::Reply(Reply { verdict: Verdict::Nack { reason }, .. }) => reasons.extend(reason),
        other => panic!("{other:?}"),
    });
    let reason = &reasons[0];
    assert!(reason.starts_with("\\u{1b}[31mää"), "{reason}");
    assert!((MAX_REASON - 1..=MAX_REASON).contains(&reason.len()));
}

#[test]
fn delays_are_clamped() {
    let check = |text: &str, expected: Option<Duration>| {
        assert_eq!(duration::parse(text), expected, "{text}");
    };
    check("500ms", Some(Duration::from_millis(500)));
    check("1h30m", Some(Duration::from_mins(90)));
    check("1d2h3m4s5ms", Some(Duration::from_millis(93_784_005)));
    check("0s", Some(Duration::ZERO));
    check("-1s", Some(Duration::ZERO));
    check("3650d", Some(MAX_DELAY));
    check("99999999999999999999999999d", Some(MAX_DELAY));
    for text in ["", "-", "30", "s", "30 s", "1m1h", "1s1s", "1.5s", "30S", "1h30", "∞"] {
        check(text, None);
    }
}

#[test]
fn a_fault_shows_what_is_wrong_and_where() {
    let mut shown = Vec::new();
    let mut decoder = Decoder::new(1 << 20);
    decoder.feed(b"{\"id\":7,\"result\":\"ack\"}\x1b\r\nretry 3-42 soon\n", &mut |line| {
        if let Line::Fault(fault) = line {
            shown.push(fault.to_string());
        }
    });
    assert_snapshot!(shown.join("\n"), @r#"
    a line that begins with `{` must be one whole JSON object: `{"id":7,"result":"ack"}\u{1b}`
    this verb and id must be followed by a delay such as `30s`, and maybe a reason: `retry 3-42 soon`
    "#);
}

/// Output made of what matters to a decoder, and of noise.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "ack",
            "nack",
            "retry",
            "requeue",
            "extend",
            "log",
            "ready",
            "stop",
            " ",
            "3-42",
            "30s",
            "\n",
            "\r\n",
            "{",
            "}",
            "\"",
            ":",
            ",",
            "\"id\":\"3-42\"",
            "\"result\":\"ack\"",
            "\\",
            "[",
            "null",
            "{\"id\":\"1-1\",\"result\":\"nack\",\"reason\":\"no\"}\n",
            "\u{2028}",
            "ä",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_make_no_difference(
        bytes in output(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        max_reply in prop_oneof![Just(1 << 20), 0_usize..40],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        pieces.push(&bytes[start..]);
        let singly: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = decode(&[&bytes], max_reply);
        prop_assert_eq!(&whole, &decode(&pieces, max_reply));
        prop_assert_eq!(&whole, &decode(&singly, max_reply));
    }

    #[test]
    fn an_id_is_read_as_it_is_written(epoch: u32, tag in 1_u64..) {
        let id = DeliveryId { epoch: Epoch(epoch), tag };
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(decode(&[format!("ack {id}\n").as_bytes()], 64), [format!("{id}: Ack")]);
    }

    #[test]
    fn an_excerpt_is_one_short_printable_line(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let shown = excerpt(&bytes);
        prop_assert!(shown.len() <= MAX_REASON);
        prop_assert!(!shown.chars().any(char::is_control));
    }
}
