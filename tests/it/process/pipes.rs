//! Beyond the three standard pipes: descriptor 3, and a terminal for standard output.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use warrener::process::{Exit, Fd3, SpawnError, SpawnRequest, Spawner};

use super::{command, output, shell, soon, spawn};

#[tokio::test]
async fn a_child_has_descriptor_3_where_it_is_asked_for() {
    let none = "echo x >&3";
    let mut child = spawn(shell(none)).await;
    assert!(child.replies.is_none() && child.metadata.is_none());
    let (_, exit) = output(&mut child).await;
    assert_ne!(exit, Exit::Code(0), "it has one though nobody asked");

    let request = SpawnRequest { fd3: Some(Fd3::Replies), ..shell("echo out; echo answer >&3") };
    let mut child = spawn(request).await;
    let mut answers = String::new();
    let mut replies = child.replies.take().unwrap();
    soon("its end", replies.read_to_string(&mut answers)).await.unwrap();
    assert_eq!(answers, "answer\n");
    assert_eq!(output(&mut child).await, ("out\n".to_owned(), Exit::Code(0)));

    // More than any pipe holds, to a child that reads its input first.
    let request = SpawnRequest { fd3: Some(Fd3::Metadata), ..shell("cat; cat <&3 | wc -c") };
    let mut child = spawn(request).await;
    let (mut stdin, mut metadata) = (child.stdin.take().unwrap(), child.metadata.take().unwrap());
    let writer = tokio::spawn(async move { metadata.write_all(&vec![b'x'; 2 << 20]).await });
    soon("its input", stdin.write_all(b"body ")).await.unwrap();
    drop(stdin);
    let (text, _) = output(&mut child).await;
    soon("the metadata", writer).await.unwrap().unwrap();
    assert_eq!(text.trim(), "body 2097152");

    let missing = SpawnRequest { fd3: Some(Fd3::Replies), ..command(&["/no/such/program"]) };
    let error = Spawner::start(false).unwrap().spawn(missing).await.unwrap_err();
    assert!(matches!(error, SpawnError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_terminal_passes_everything_on_as_it_is() {
    // More than a terminal holds, and what one would change: a tab, a return, an end of file.
    let text = "test -t 1 || exit 1; printf 'a\\tb\\r\\n\\004\\003'; seq 100000";
    let mut child = spawn(SpawnRequest { terminal: true, ..shell(text) }).await;
    let mut stdout = child.stdout.take().unwrap();
    let mut read = Vec::new();
    let end = soon("its end", stdout.read_to_end(&mut read)).await;
    assert!(end.is_err(), "the end of a terminal is an error: {end:?}");
    assert_eq!(soon("exit", child.exited()).await, Exit::Code(0));
    let numbers: Vec<String> = (1..=100_000).map(|number| number.to_string()).collect();
    let expected = format!("a\tb\r\n\u{4}\u{3}{}\n", numbers.join("\n"));
    assert!(read == expected.as_bytes(), "{} bytes of {}", read.len(), expected.len());
}
