//! One private node, from start to removal.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::SandboxError;
use super::guardian::Guardian;
use super::install::Install;
use super::layout::Layout;
use super::ports::Ports;
use super::ready::{management_version, speaks_amqp, speaks_epmd};

/// How often ports are chosen anew where someone else takes them before the node does.
const PORT_TRIES: u32 = 4;
/// The pause between two looks at something that will happen soon.
const LOOK: Duration = Duration::from_millis(50);
/// How long a node may take to end after a signal.
const END: Duration = Duration::from_secs(30);

/// What kind of node to start.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The root directory of another system whose RabbitMQ is used, entered with `chroot`; needs
    /// root, and `/proc` and `/dev` mounted in it. `None` for the RabbitMQ of this machine.
    pub root: Option<PathBuf>,
    /// Plugins to enable besides `rabbitmq_management`.
    pub plugins: Vec<String>,
    /// How long the node may take until AMQP and the management API answer.
    pub ready_timeout: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self { root: None, plugins: Vec::new(), ready_timeout: Duration::from_mins(2) }
    }
}

/// How [`Sandbox::halt`] ends the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// With `SIGKILL`: connections break, nothing is flushed.
    Kill,
    /// With `SIGTERM`: the broker closes connections and shuts down in order.
    Graceful,
}

/// A running private RabbitMQ with the user `guest`, password `guest`. It ends, and all its files
/// go, when this value is stopped or dropped, or when this process ends in whatever way.
pub struct Sandbox {
    // Dropped first: after it, nothing of the node is left.
    guardian: Guardian,
    layout: Layout,
    install: Install,
    ports: Ports,
    node: String,
    version: String,
    ready_timeout: Duration,
    http: reqwest::Client,
    epmd: Child,
    broker: Option<Child>,
}

impl Sandbox {
    /// Starts a node and waits until AMQP and the management API answer.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let install = match &options.root {
            Some(root) => Install::in_root(root)?,
            None => Install::locate()?,
        };
        let mut tries = 1;
        loop {
            match Self::start_once(&options, &install).await {
                Err(error) if error.is_port_taken() && tries < PORT_TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn start_once(options: &SandboxOptions, install: &Install) -> Result<Self, SandboxError> {
        let http = reqwest::Client::builder().no_proxy().build().map_err(|source| {
            SandboxError::Spawn {
                program: "HTTP client".into(),
                source: std::io::Error::other(source),
            }
        })?;
        let ports = Ports::free()?;
        let layout = Layout::create(install)?;
        let shell = |source| SandboxError::Spawn { program: "/bin/sh".into(), source };
        let mut guardian = Guardian::start(&layout.folder).map_err(shell)?;
        layout.write(ports, &options.plugins)?;
        let node = format!("warrener-{}-{}@localhost", std::process::id(), ports.amqp);

        let mut epmd = layout.command(install, &install.epmd, &node, ports)?;
        epmd.arg("-port").arg(ports.epmd.to_string()).arg("-address").arg("127.0.0.1");
        let epmd = guardian.spawn(&epmd).map_err(shell)?;

        let mut sandbox = Self {
            guardian,
            layout,
            install: install.clone(),
            ports,
            node,
            version: String::new(),
            ready_timeout: options.ready_timeout,
            http,
            epmd,
            broker: None,
        };
        sandbox.epmd_listens().await?;
        sandbox.launch().await?;
        Ok(sandbox)
    }

    /// The address for AMQP clients, with the user and the default vhost.
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The port for AMQP clients, on 127.0.0.1.
    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    /// The address of the management API and its pages, without credentials and trailing slash.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    /// The version of RabbitMQ, such as `3.10.8`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of the node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The folder that holds everything of the node.
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// The log of the node.
    pub fn log_path(&self) -> PathBuf {
        self.layout.log()
    }

    /// Creates a vhost in which `guest` may do everything. Nothing happens where it exists.
    pub async fn create_vhost(&self, name: &str) -> Result<(), SandboxError> {
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let answer = self
            .http
            .put(format!("{}/api/vhosts/{name}", self.management_url()))
            .basic_auth("guest", Some("guest"))
            .header("content-type", "application/json")
            .send()
            .await;
        answer
            .and_then(reqwest::Response::error_for_status)
            .map(drop)
            .map_err(|source| SandboxError::Refused { source })
    }

    /// Has the node told something by its own tool, `rabbitmqctl`, beside the server's script.
    pub async fn ctl(&mut self, arguments: &[&str]) -> Result<(), SandboxError> {
        let program = self.install.server.with_file_name("rabbitmqctl");
        let mut command = self.layout.command(&self.install, &program, &self.node, self.ports)?;
        for argument in arguments {
            command.arg(argument);
        }
        let failed = |source| SandboxError::Spawn { program: "rabbitmqctl".into(), source };
        let mut child = self.guardian.spawn(&command).map_err(failed)?;
        let deadline = Instant::now() + END;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if Instant::now() > deadline {
                signal_group(child.id(), Signal::SIGKILL);
            }
            sleep(LOOK).await;
        };
        self.guardian.forget(child.id()).map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let what = format!("`rabbitmqctl {}`: {status}", arguments.join(" "));
        Err(failed(std::io::Error::other(format!("{what}\n{}", self.layout.tail()))))
    }

    /// Whether the node is there; it may have ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.broker.as_mut().is_some_and(|broker| matches!(broker.try_wait(), Ok(None)))
    }

    /// Ends the node but keeps its ports and data for [`Sandbox::resume`]. Nothing listens on its
    /// ports when this returns. Nothing happens where it is halted already.
    pub async fn halt(&mut self, how: Halt) -> Result<(), SandboxError> {
        let Some(mut broker) = self.broker.take() else { return Ok(()) };
        let signal = match how {
            Halt::Kill => Signal::SIGKILL,
            Halt::Graceful => Signal::SIGTERM,
        };
        let group = broker.id();
        signal_group(group, signal);
        let deadline = Instant::now() + END;
        let mut reaped = false;
        // The leader is a shell; the node itself may outlive it by a moment, and shows by its ports.
        while !(reaped && self.ports.broker_gone()) {
            reaped = reaped || !matches!(broker.try_wait(), Ok(None));
            if Instant::now() > deadline {
                signal_group(group, Signal::SIGKILL);
            }
            if Instant::now() > deadline + END {
                return Err(SandboxError::DoesNotEnd { log: self.layout.tail() });
            }
            sleep(LOOK).await;
        }
        self.guardian
            .forget(group)
            .map_err(|source| SandboxError::Spawn { program: "/bin/sh".into(), source })
    }

    /// Starts a halted node again on the same ports and data. Nothing happens where it runs.
    pub async fn resume(&mut self) -> Result<(), SandboxError> {
        if self.broker.is_some() { Ok(()) } else { self.launch().await }
    }

    /// Ends the node and removes everything; returns when it is gone.
    pub async fn stop(self) {
        // The drop blocks for some tens of milliseconds, on a thread where that harms nobody. A
        // panic in there has nothing to tell the caller.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// A node that finds no epmd starts a daemon that nobody would end.
    async fn epmd_listens(&mut self) -> Result<(), SandboxError> {
        let deadline = Instant::now() + self.ready_timeout;
        while !speaks_epmd(self.ports.epmd).await {
            self.still_there()?;
            if Instant::now() > deadline {
                return Err(self.not_ready("the port of epmd"));
            }
            sleep(LOOK).await;
        }
        // Somebody else's may have answered; ours then says so and ends.
        self.still_there()
    }

    async fn launch(&mut self) -> Result<(), SandboxError> {
        let command =
            self.layout.command(&self.install, &self.install.server, &self.node, self.ports)?;
        let program = self.install.server.display().to_string();
        let broker = self
            .guardian
            .spawn(&command)
            .map_err(|source| SandboxError::Spawn { program, source })?;
        self.broker = Some(broker);

        let deadline = Instant::now() + self.ready_timeout;
        let mut waiting_for = "the management API";
        while Instant::now() < deadline {
            self.still_there()?;
            if let Some(version) = management_version(&self.http, self.ports.management).await {
                waiting_for = "AMQP";
                if speaks_amqp(self.ports.amqp).await {
                    self.version = version;
                    return Ok(());
                }
            }
            sleep(LOOK).await;
        }
        Err(self.not_ready(waiting_for))
    }

    fn still_there(&mut self) -> Result<(), SandboxError> {
        for child in [&mut self.epmd].into_iter().chain(&mut self.broker) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(SandboxError::Died { status, log: self.layout.tail() });
            }
        }
        Ok(())
    }

    fn not_ready(&self, waiting_for: &'static str) -> SandboxError {
        SandboxError::NotReady { waiting_for, after: self.ready_timeout, log: self.layout.tail() }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.guardian.finish();
        for child in self.broker.iter_mut().chain([&mut self.epmd]) {
            // The guardian has killed them, unless someone killed the guardian.
            signal_group(child.id(), Signal::SIGKILL);
            let _ = child.wait();
        }
        // The node itself is a child of the one that was waited for, and may outlive it by a
        // moment. Its ports may be somebody else's, if it never got them; its group may have
        // zombies for ever, where nobody reaps orphans.
        let Some(group) = self.broker.as_ref().map(Child::id) else { return };
        let deadline = Instant::now() + END;
        while group_exists(group) && !self.ports.broker_gone() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }
}

fn group_exists(group: u32) -> bool {
    i32::try_from(group).is_ok_and(|group| killpg(Pid::from_raw(group), None).is_ok())
}

fn signal_group(group: u32, signal: Signal) {
    if let Ok(group) = i32::try_from(group) {
        // It may be gone already, which is what was wanted.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}
