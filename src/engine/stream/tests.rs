//! Whose turn it is to read.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn one_worker_of_a_slot_reads_at_a_time_and_the_next_goes_on_when_it_has_ended() {
    let turns = Turns::default();
    let others = turns.clone();
    let first = turns.of(0).try_acquire_owned().expect("nobody reads");
    assert!(others.of(0).try_acquire_owned().is_err(), "two read the same slot");
    let elsewhere = others.of(1).try_acquire_owned();
    assert!(elsewhere.is_ok(), "another slot is another reader");
    let next = tokio::spawn(others.of(0).acquire_owned());
    tokio::task::yield_now().await;
    assert!(!next.is_finished());
    drop(first);
    let second = next.await.unwrap().expect("it is never closed");
    assert!(turns.of(0).acquire_owned().now_or_never().is_none());
    drop(second);
    assert!(turns.of(0).try_acquire_owned().is_ok());
}

#[tokio::test]
async fn a_write_that_is_due_comes_after_its_time_and_is_told_when_it_is_done() {
    let mut storing = Storing::Due(Box::pin(std::future::ready(())));
    assert!(storing.step().await.is_none());
    assert!(matches!(storing, Storing::Idle));
    storing = Storing::Writing(Box::pin(std::future::ready((7, Ok(())))));
    assert_eq!(storing.step().await, Some((7, Ok(()))));
    assert!(storing.step().now_or_never().is_none(), "there is nothing to write");
}
