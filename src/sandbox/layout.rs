//! The folder of a node, and what stands in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::SandboxError;
use super::guardian::Gated;
use super::install::{Install, search_path};
use super::ports::Ports;

/// Lines of the log that an error shows.
const TAIL: usize = 30;

/// Where everything of one node is.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder, as this process sees it.
    pub(super) folder: PathBuf,
    /// The folder, as the node sees it; another only where the node lives in another root.
    inside: PathBuf,
}

impl Layout {
    /// A new folder that only we can read, under the folder for temporary files.
    pub(super) fn create(install: &Install) -> Result<Self, SandboxError> {
        let parent = match &install.root {
            Some(root) => root.join("tmp"),
            None => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new()
            .prefix("warrener-rabbitmq-")
            .tempdir_in(&parent)
            .map_err(|source| SandboxError::Folder { path: parent, source })?
            .keep();
        let inside = match &install.root {
            Some(root) => Path::new("/").join(folder.strip_prefix(root).unwrap_or(&folder)),
            None => folder.clone(),
        };
        Ok(Self { folder, inside })
    }

    /// Writes the configuration of the node.
    pub(super) fn write(&self, ports: Ports, plugins: &[String]) -> Result<(), SandboxError> {
        let mut enabled = vec!["rabbitmq_management"];
        enabled.extend(plugins.iter().map(String::as_str));
        for folder in ["mnesia", "log", "conf.d"] {
            let path = self.folder.join(folder);
            fs::create_dir(&path).map_err(|source| SandboxError::Folder { path, source })?;
        }
        self.file("rabbitmq.conf", &configuration(ports))?;
        self.file("enabled_plugins", &format!("[{}].\n", enabled.join(",")))?;
        // Empty, so that those of the machine are not read.
        self.file("advanced.config", "[].\n")?;
        self.file("rabbitmq-env.conf", "")?;
        // Whoever knows the cookie can run code in the node, so it is a secret.
        let cookie = random_cookie().map_err(|source| self.error("/dev/urandom", source))?;
        self.file(".erlang.cookie", &cookie)
    }

    /// The log of the node.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log/node.log")
    }

    /// What the node printed before it had a log.
    fn console(&self) -> PathBuf {
        self.folder.join("log/console.log")
    }

    /// The last lines of the log, or of what was printed where there is no log yet.
    pub(super) fn tail(&self) -> String {
        let read = |path: PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL)..].join("\n")
        };
        let parts = [read(self.console()), read(self.log())];
        parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("\n")
    }

    /// A program of the installation with the environment of this node.
    pub(super) fn command(
        &self,
        install: &Install,
        program: &Path,
        node: &str,
        ports: Ports,
    ) -> Result<Gated, SandboxError> {
        let console = self.console();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&console)
            .map_err(|source| SandboxError::Folder { path: console, source })?;
        let mut command = match &install.root {
            Some(root) => {
                let mut command = Gated::new("chroot".as_ref(), output, &self.folder);
                command.arg(root).arg(program);
                command
            }
            None => Gated::new(program.as_os_str(), output, &self.folder),
        };
        let inside = |name: &str| self.inside.join(name);
        command
            .env("PATH", search_path())
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.inside)
            .env("TMPDIR", &self.inside)
            .env("ERL_EPMD_PORT", ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", node)
            .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", inside("mnesia"))
            .env("RABBITMQ_LOG_BASE", inside("log"))
            .env("RABBITMQ_LOGS", inside("log/node.log"))
            .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", inside("conf.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", inside("advanced.config"))
            .env("RABBITMQ_CONF_ENV_FILE", inside("rabbitmq-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", inside("generated"))
            .env("RABBITMQ_PID_FILE", inside("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang_arguments());
        Ok(command)
    }

    fn file(&self, name: &str, content: &str) -> Result<(), SandboxError> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.folder.join(name))
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|source| self.error(name, source))
    }

    fn error(&self, name: &str, source: io::Error) -> SandboxError {
        SandboxError::Folder { path: self.folder.join(name), source }
    }
}

fn configuration(ports: Ports) -> String {
    // The limits: a laptop or a CI machine with little disk must not raise an alarm, which would
    // block publishers; and the write-ahead log of quorum queues is 512 MiB by default.
    format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         disk_free_limit.absolute = 1MB\n\
         vm_memory_high_watermark.absolute = 768MiB\n\
         raft.wal_max_size_bytes = 67108864\n\
         collect_statistics_interval = 1000\n",
        amqp = ports.amqp,
        management = ports.management,
    )
}

/// The distribution listens on the loopback interface only, and a large machine does not get a
/// scheduler for each of its cores.
fn erlang_arguments() -> String {
    let schedulers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    format!("+S {schedulers}:{schedulers} -kernel inet_dist_use_interface {{127,0,0,1}}")
}

fn random_cookie() -> io::Result<String> {
    let mut bytes = [0; 20];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(b'A' + byte % 26)).collect())
}
