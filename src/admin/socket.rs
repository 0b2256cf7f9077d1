//! Where the socket of a stack is, who may have made it, and whether anybody listens.
//!
//! A socket is called `STACK.sock`. Where another supervisor of the same stack has that, it is
//! `STACK@PID.sock`. A file that nobody listens on any more is left over from a supervisor that was
//! killed, and is replaced.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::geteuid;

/// What a folder of ours is called.
const FOLDER: &str = "warrener";

/// The folder of a supervisor that runs as root, or whose service manager makes it.
const SYSTEM: &str = "/run/warrener";

/// The longest path that fits the address of a socket.
const LONGEST: usize = 107;

/// How long another supervisor that starts at the same moment is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another supervisor listens there.
    #[error("another supervisor listens on `{}`\nhint: stop it, or choose another path", .0.display())]
    Taken(PathBuf),
    /// Something else has that name.
    #[error("`{}` is no socket\nhint: remove it, or choose another path", .0.display())]
    InTheWay(PathBuf),
    /// The folder is somebody else's, or others may change it.
    #[error("`{}` can be changed by others\nhint: give it to the user who runs Warrener, with mode 700", .0.display())]
    Unsafe(PathBuf),
    /// The system refuses it.
    #[error("cannot listen on `{}`: {error}", path.display())]
    Refused {
        /// The socket, or its folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A socket that is listened on. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) path: PathBuf,
    /// Device and number of the file.
    file: (u64, u64),
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Not one that somebody has put in its place.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on that very path.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, Bound), SocketError> {
    let refused = |error| SocketError::Refused { path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Of two that find the same left-over file, one replaces it.
    let _turn = take_turn(folder.unwrap_or(Path::new("."))).map_err(refused)?;
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::InTheWay(path.to_owned()));
        }
        Ok(_) if is_live(path) => return Err(SocketError::Taken(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(refused)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
    let meta = fs::symlink_metadata(path).map_err(refused)?;
    Ok((listener, Bound { path: path.to_owned(), file: (meta.dev(), meta.ino()) }))
}

/// Listens for that stack in the usual folder.
pub(super) fn bind_stack(stack: &str) -> Result<(UnixListener, Bound), SocketError> {
    let folder = own_folder()?;
    match bind(&folder.join(file_name(&folder, stack, None))) {
        Err(SocketError::Taken(_)) => {
            bind(&folder.join(file_name(&folder, stack, Some(std::process::id()))))
        }
        result => result,
    }
}

fn take_turn(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(fs::TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether anybody listens. One that has no room for more listens as well.
fn is_live(path: &Path) -> bool {
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
    }
}

/// The folder for sockets of this process, made where it is not there.
fn own_folder() -> Result<PathBuf, SocketError> {
    let made_for_us = env::var_os("RUNTIME_DIRECTORY").and_then(|folders| {
        // systemd gives a list with colons.
        env::split_paths(&folders).next().filter(|folder| folder.is_absolute())
    });
    let folder = match (made_for_us, session_folder()) {
        (Some(folder), _) => folder,
        (None, _) if geteuid().is_root() => SYSTEM.into(),
        (None, Some(folder)) => folder,
        (None, None) => temporary_folder(),
    };
    let refused = |error| SocketError::Refused { path: folder.clone(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(refused)?;
    if is_safe(&folder) { Ok(folder) } else { Err(SocketError::Unsafe(folder)) }
}

fn session_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    folder.is_absolute().then(|| folder.join(FOLDER))
}

fn temporary_folder() -> PathBuf {
    env::temp_dir().join(format!("{FOLDER}-{}", geteuid().as_raw()))
}

/// Whether only this user and root decide what is in a folder. Anybody may make one in the folder
/// for temporary files.
fn is_safe(folder: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(folder) else { return false };
    let ours = meta.uid() == geteuid().as_raw() || meta.uid() == 0 || geteuid().is_root();
    meta.is_dir() && ours && meta.mode() & 0o022 == 0
}

/// The name of a socket, short enough for its address.
fn file_name(folder: &Path, stack: &str, pid: Option<u32>) -> String {
    let rest = pid.map_or_else(|| ".sock".to_owned(), |pid| format!("@{pid}.sock"));
    let room = LONGEST.saturating_sub(folder.as_os_str().len() + 1 + rest.len());
    if stack.len() <= room {
        return stack.to_owned() + &rest;
    }
    // Names of stacks are ASCII.
    let hash = blake3::hash(stack.as_bytes()).to_hex();
    let start = stack.get(..room.saturating_sub(17)).unwrap_or_default();
    format!("{start}~{}{rest}", &hash[..16])
}

/// A supervisor that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The name of its socket without `.sock`: its stack, and its process id where it is not the
    /// first of that stack.
    pub name: String,
    /// Its socket.
    pub path: PathBuf,
}

/// Every supervisor on this machine that this user may speak to; `stack` looks for those of one
/// stack.
pub fn find(stack: Option<&str>) -> Vec<Found> {
    let made_for_us = env::var_os("RUNTIME_DIRECTORY");
    let mut folders: Vec<PathBuf> = made_for_us.iter().flat_map(env::split_paths).collect();
    folders.push(SYSTEM.into());
    folders.extend(session_folder());
    folders.push(temporary_folder());
    folders.sort();
    folders.dedup();
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| is_safe(folder)) {
        let wanted = stack.map(|stack| {
            let name = file_name(folder, stack, None);
            name.strip_suffix(".sock").unwrap_or_default().to_owned()
        });
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".sock"))
            else {
                continue;
            };
            let of_stack = name.split('@').next().unwrap_or_default();
            if wanted.as_ref().is_none_or(|wanted| wanted == of_stack) && is_live(&path) {
                found.push(Found { name: name.to_owned(), path: path.clone() });
            }
        }
    }
    found.sort();
    found
}
