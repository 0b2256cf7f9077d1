//! stub
#![expect(missing_docs, unused)]
use crate::model::{ConsumerSpec, Program, StopSignal};
use std::collections::BTreeMap;
use tokio::net::unix::pipe;
pub fn find_program(
    p: &Program,
    cwd: &std::path::Path,
    env: &BTreeMap<String, String>,
) -> Result<(), SpawnError> {
    todo!()
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SpawnError;
pub struct Spawner;
pub struct SpawnRequest {
    pub env: BTreeMap<String, String>,
}
impl SpawnRequest {
    pub fn for_consumer(s: &ConsumerSpec) -> Self {
        todo!()
    }
}
impl Spawner {
    pub fn start() -> std::io::Result<Self> {
        todo!()
    }
    pub async fn spawn(&self, r: SpawnRequest) -> Result<Child, SpawnError> {
        todo!()
    }
}
pub type ChildInput = pipe::Sender;
pub type ChildOutput = pipe::Receiver;
pub struct Child {
    pub pid: u32,
    pub stdin: Option<pipe::Sender>,
    pub stdout: Option<pipe::Receiver>,
    pub stderr: Option<pipe::Receiver>,
}
impl Child {
    pub async fn exited(&mut self) -> Exit {
        todo!()
    }
    pub fn kill_group(&self) -> std::io::Result<()> {
        todo!()
    }
    pub fn signal_group(&self, s: StopSignal) -> std::io::Result<()> {
        todo!()
    }
}
#[derive(Clone, Copy)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
