//! Which RabbitMQ this machine has, or how to get one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::SandboxError;

/// Where distributions keep the broker's own scripts. What they put on the PATH is often a wrapper
/// that changes to the user `rabbitmq` with `su`, which only root can do and which would hide the
/// node from us.
const OWN_SCRIPTS: [&str; 4] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib/rabbitmq/sbin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
];

/// An installed RabbitMQ.
#[derive(Clone, Debug)]
pub(super) struct Install {
    /// A root directory to change to first.
    pub(super) root: Option<PathBuf>,
    /// `rabbitmq-server`, as seen from that root.
    pub(super) server: PathBuf,
    /// `epmd`, as seen from that root.
    pub(super) epmd: PathBuf,
}

impl Install {
    /// The RabbitMQ of this machine.
    pub(super) fn locate() -> Result<Self, SandboxError> {
        let server = OWN_SCRIPTS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
            .or_else(|| on_path("rabbitmq-server"))
            .ok_or_else(|| {
                let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
                let has = |program: &str| on_path(program).is_some();
                let root = nix::unistd::geteuid().is_root();
                SandboxError::NotInstalled { hint: install_hint(&os_release, has, root) }
            })?;
        Ok(Self { root: None, server, epmd: locate_epmd() })
    }

    /// The RabbitMQ of another system's root directory, to be entered with `chroot`.
    pub(super) fn in_root(root: &Path) -> Result<Self, SandboxError> {
        let script = "usr/lib/rabbitmq/bin/rabbitmq-server";
        // `is_file` would follow an absolute link out of the root.
        if root.join(script).symlink_metadata().is_err() {
            return Err(SandboxError::NoSuchRoot { root: root.to_owned() });
        }
        Ok(Self {
            root: Some(root.to_owned()),
            server: Path::new("/").join(script),
            epmd: PathBuf::from("/usr/bin/epmd"),
        })
    }
}

/// The folders of PATH, and the system folders that the PATH of an ordinary user may lack.
pub(super) fn search_path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let folders = std::env::split_paths(&own).chain(system.iter().map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(own)
}

fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// `epmd` from the PATH, or else beside the `erl` of the PATH: some packages link only the latter.
fn locate_epmd() -> PathBuf {
    let beside_erl = || {
        let erl = on_path("erl")?.canonicalize().ok()?;
        let erlang = erl.parent()?.parent()?;
        let pattern = format!("{}/erts-*/bin/epmd", glob::Pattern::escape(erlang.to_str()?));
        let own = erlang.join("bin/epmd");
        if own.is_file() {
            return Some(own);
        }
        glob::glob(&pattern).ok()?.find_map(Result::ok)
    };
    on_path("epmd").or_else(beside_erl).unwrap_or_else(|| PathBuf::from("epmd"))
}

/// The line that installs RabbitMQ on the machine of that `/etc/os-release`.
pub(super) fn install_hint(os_release: &str, has: impl Fn(&str) -> bool, is_root: bool) -> String {
    let ids: Vec<&str> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .collect();
    let is = |id: &str| ids.contains(&id);
    let sudo = if is_root { "" } else { "sudo " };
    let line = if is("debian") || is("ubuntu") || (ids.is_empty() && has("apt-get")) {
        format!("{sudo}apt-get install rabbitmq-server")
    } else if is("fedora") || is("rhel") || is("centos") || (ids.is_empty() && has("dnf")) {
        format!("{sudo}dnf install rabbitmq-server")
    } else if is("alpine") || (ids.is_empty() && has("apk")) {
        format!("{sudo}apk add rabbitmq-server")
    } else if has("brew") {
        "brew install rabbitmq".to_owned()
    } else {
        return "install RabbitMQ as https://www.rabbitmq.com/docs/download describes".to_owned();
    };
    format!("install it with `{line}`")
}
