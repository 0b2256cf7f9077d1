//! The mend for each language, and when a silence is over.

use std::time::Duration;

use super::*;

#[test]
fn the_mend_is_that_of_the_language() {
    let check = |text: &str, expected: &str| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        for program in [Program::Command(words), Program::Shell(text.to_owned())] {
            let found = mend(&program, Replies::Stdout);
            assert!(found.contains(expected), "{text}: {found}");
        }
    };
    check("python3 billing.py", "flush=True");
    check("/usr/bin/python3.11 billing", "flush=True");
    check("./billing.py", "flush=True");
    check("/usr/bin/env perl x", "$| = 1");
    check("ruby x", "$stdout.sync");
    check("mawk -f x", "fflush()");
    check("sed s/x/y/", "sed -u");
    check("./compiled --fast", "tty: true");
    let own = mend(&Program::Command(vec!["./x".into()]), Replies::Fd3);
    assert!(own.contains("descriptor 3"), "{own}");
}

#[tokio::test]
async fn a_silence_is_noticed_once_and_never_after_a_word() {
    let (long, over) = (Duration::from_millis(10), Duration::from_millis(100));
    let mut hush = Hush::of(long);
    assert!(tokio::time::timeout(over, hush.lasts()).await.is_err(), "no message yet");
    hush.begins();
    let start = Instant::now();
    hush.lasts().await;
    assert!(start.elapsed() >= long);
    hush.begins();
    assert!(tokio::time::timeout(over, hush.lasts()).await.is_err(), "once is enough");

    let mut hush = Hush::of(long);
    hush.begins();
    hush.broken();
    hush.begins();
    assert!(tokio::time::timeout(over, hush.lasts()).await.is_err());
}
