//! Tasks that live where their children are started.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use warrener::process::{Child, Exit, Spawner};

use super::{command, output, shell, soon};

/// Runs that as a hosted task, and gives what came of it.
async fn hosted<T: Send + 'static>(
    spawner: &Spawner,
    task: impl Future<Output = T> + Send + 'static,
) -> T {
    let (answer, answered) = oneshot::channel();
    let mut tasks = JoinSet::new();
    spawner.host(
        async move {
            let _ = answer.send(task.await);
        },
        &mut tasks,
    );
    soon("the task", answered).await.expect("its answer")
}

async fn started_there(spawner: &Arc<Spawner>, script: &'static str) -> Child {
    let starting = spawner.clone();
    let start = async move { starting.spawn(shell(script)).now_or_never() };
    hosted(spawner, start).await.expect("there at once").expect("a child")
}

#[tokio::test]
async fn a_hosted_task_has_its_child_at_once_and_others_wait_for_a_thread() {
    let spawner = Arc::new(Spawner::start(false).unwrap());
    assert!(spawner.spawn(command(&["true"])).now_or_never().is_none());
    let starting = spawner.clone();
    let said = hosted(&spawner, async move {
        let mut child =
            starting.spawn(shell("echo hello; exit 3")).now_or_never().unwrap().unwrap();
        output(&mut child).await
    });
    assert_eq!(said.await, ("hello\n".to_owned(), Exit::Code(3)));
    let starting = spawner.clone();
    let missing = async move { starting.spawn(command(&["/no/such/program"])).await.err() };
    let error = hosted(&spawner, missing).await.expect("refused");
    assert!(error.to_string().contains("No such file"), "{error}");
}

/// The kernel kills a child when the thread that started it ends.
#[tokio::test]
async fn its_child_outlives_the_task_and_the_spawner() {
    let spawner = Arc::new(Spawner::start(false).unwrap());
    let mut child = started_there(&spawner, "read line; exit 4").await;
    drop(spawner);
    assert!(child.exited().now_or_never().is_none());
    drop(child.stdin.take());
    assert_eq!(soon("exit", child.exited()).await, Exit::Code(4));
}

#[tokio::test]
async fn tasks_are_spread_over_the_threads() {
    let spawner = Spawner::start(false).unwrap();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let (tell, mut told) = mpsc::channel::<ThreadId>(threads);
    let mut tasks = JoinSet::new();
    for _ in 0..threads {
        let tell = tell.clone();
        let stay = async move {
            tell.send(thread::current().id()).await.expect("someone who listens");
            std::future::pending::<()>().await;
        };
        spawner.host(stay, &mut tasks);
    }
    let mut seen = Vec::new();
    for _ in 0..threads {
        seen.push(soon("a task", told.recv()).await.expect("its thread"));
    }
    seen.sort_unstable_by_key(|id| format!("{id:?}"));
    seen.dedup();
    assert_eq!(seen.len(), threads);
    tasks.shutdown().await;
}
