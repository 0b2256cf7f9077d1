//! A change of a watched file is noticed however it is made, and nothing else is.
//!
//! The deadline is shorter than the watcher's own rescan, so a test passes only where the events
//! themselves suffice.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::timeout;
use warrener::files::{Watched, Watcher};

const DEADLINE: Duration = Duration::from_secs(6);
/// Several times the quiet period of the watcher: what has not fired by now does not.
const SILENCE: Duration = Duration::from_millis(700);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).expect("a writable folder");
}

/// Saves as vim and most tools do: a new file, then a rename over the old one.
fn save_by_rename(path: &Path, text: &str) {
    let new = path.with_extension("new");
    put(&new, text);
    fs::rename(new, path).expect("a rename within a folder");
}

#[track_caller]
fn fires(watcher: &mut Watcher) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let fired = timeout(DEADLINE, watcher.changed()).await;
        assert!(fired.is_ok(), "no change was noticed, waited for at {place}");
    }
}

async fn stays_silent(watcher: &mut Watcher, after: &str) {
    assert!(timeout(SILENCE, watcher.changed()).await.is_err(), "it fired after {after}");
}

#[tokio::test]
async fn a_write_in_place() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);
    put(&file, "two");
    fires(&mut watcher).await;
    put(&file, "three");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn a_save_by_rename_again_and_again() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "0");
    let mut watcher = Watcher::start(vec![file.clone()]);
    // A watch on the file itself would notice the first and none of the others.
    for text in ["1", "2", "3"] {
        save_by_rename(&file, text);
        fires(&mut watcher).await;
    }
}

/// Swaps in a new version the way the kubelet does: a new folder, a new link beside `..data`, and a
/// rename of the link. The old folder goes afterwards.
fn swap_config_map(mount: &Path, version: u32) {
    let name = format!("..v{version}");
    fs::create_dir(mount.join(&name)).expect("writable");
    put(&mount.join(&name).join("stack.yaml"), &format!("version {version}"));
    symlink(&name, mount.join("..data_tmp")).expect("writable");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("writable");
    if version > 1 {
        fs::remove_dir_all(mount.join(format!("..v{}", version - 1))).expect("the old version");
    }
}

#[tokio::test]
async fn the_link_swap_of_a_config_map() {
    for watched in ["stack.yaml", ""] {
        let dir = folder();
        let mount = dir.path();
        swap_config_map(mount, 1);
        symlink("..data/stack.yaml", mount.join("stack.yaml")).expect("writable");
        let mut watcher = Watcher::start(vec![mount.join(watched)]);
        for version in 2..5 {
            swap_config_map(mount, version);
            fires(&mut watcher).await;
        }
    }
}

#[tokio::test]
async fn the_swap_of_a_linked_folder() {
    let dir = folder();
    for release in ["1", "2"] {
        fs::create_dir(dir.path().join(release)).expect("writable");
        put(&dir.path().join(release).join("stack.yaml"), release);
    }
    let current = dir.path().join("current");
    symlink("1", &current).expect("writable");
    let mut watcher = Watcher::start(vec![current.join("stack.yaml")]);

    symlink("2", dir.path().join("next")).expect("writable");
    fs::rename(dir.path().join("next"), &current).expect("writable");
    fires(&mut watcher).await;
    put(&dir.path().join("2/stack.yaml"), "edited where the link leads now");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn a_truncation_is_waited_out() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "old");
    let mut watcher = Watcher::start(vec![file.clone()]);
    put(&file, "");
    let early = timeout(Duration::from_millis(50), watcher.changed()).await;
    assert!(early.is_err(), "it fired between the truncation and the write");
    put(&file, "new and whole");
    fires(&mut watcher).await;
    stays_silent(&mut watcher, "one save").await;
}

#[tokio::test]
async fn a_file_removed_and_created_again() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);
    fs::remove_file(&file).expect("it exists");
    fires(&mut watcher).await;
    put(&file, "one");
    fires(&mut watcher).await;
    put(&file, "two");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn a_new_file_in_a_watched_folder() {
    let dir = folder();
    put(&dir.path().join("a.yaml"), "a");
    let mut watcher = Watcher::start(vec![dir.path().to_owned()]);
    put(&dir.path().join("b.yml"), "b");
    fires(&mut watcher).await;
    put(&dir.path().join("a.yaml"), "a changed");
    fires(&mut watcher).await;
    fs::rename(dir.path().join("b.yml"), dir.path().join("c.yml")).expect("it exists");
    fires(&mut watcher).await;

    put(&dir.path().join(".a.yaml.swp"), "an editor's");
    put(&dir.path().join(".hidden.yaml"), "somebody's");
    put(&dir.path().join("a.yaml~"), "a backup");
    put(&dir.path().join("README.md"), "words");
    stays_silent(&mut watcher, "files that are no sources").await;
}

#[tokio::test]
async fn a_folder_that_is_replaced() {
    let dir = folder();
    let (stack, old) = (dir.path().join("stack"), dir.path().join("old"));
    let file = stack.join("stack.yaml");
    fs::create_dir(&stack).expect("writable");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);

    fs::rename(&stack, &old).expect("it exists");
    fs::create_dir(&stack).expect("writable");
    put(&file, "two");
    fires(&mut watcher).await;
    put(&file, "three");
    fires(&mut watcher).await;
    put(&old.join("stack.yaml"), "nobody's any more");
    stays_silent(&mut watcher, "a write where the folder is now").await;

    // A folder that is removed ends its watch, and the new one may have the old inode number.
    fs::remove_dir_all(&stack).expect("it exists");
    fs::create_dir(&stack).expect("writable");
    put(&file, "four");
    fires(&mut watcher).await;
    put(&file, "five");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn a_folder_whose_parent_is_replaced() {
    let dir = folder();
    let file = dir.path().join("deep/stack/stack.yaml");
    fs::create_dir_all(dir.path().join("deep/stack")).expect("writable");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);

    // No event tells of this: neither folder's own entries have changed.
    fs::rename(dir.path().join("deep"), dir.path().join("old")).expect("it exists");
    fs::create_dir_all(dir.path().join("deep/stack")).expect("writable");
    put(&file, "one");
    // It looks again by itself in a while, or at once when the paths are named again.
    assert!(!watcher.set_watched(vec![file.clone()]));
    put(&file, "two");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_back_later() {
    let dir = folder();
    let stack = dir.path().join("deep/stack");
    let file = stack.join("stack.yaml");
    let mut watcher = Watcher::start(vec![file.clone()]);
    for text in ["one", "two"] {
        fs::create_dir_all(&stack).expect("writable");
        put(&file, text);
        fires(&mut watcher).await;
        fs::remove_dir_all(dir.path().join("deep")).expect("it exists");
        fires(&mut watcher).await;
    }
}

#[tokio::test]
async fn what_leaves_the_content_as_it_was_is_no_change() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);
    for _ in 0..100 {
        fs::read(&file).expect("it exists");
    }
    stays_silent(&mut watcher, "reading").await;
    put(&file, "one");
    save_by_rename(&file, "one");
    fs::File::open(&file)
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .expect("our own file");
    stays_silent(&mut watcher, "saving it unchanged").await;
    put(&dir.path().join("neighbour.yaml"), "not watched");
    stays_silent(&mut watcher, "a write to its neighbour").await;
    put(&file, "two");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn who_may_write_a_file_counts_as_content() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let set = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    set(0o666);
    let mut watcher = Watcher::start(vec![file.clone()]);
    set(0o644);
    fires(&mut watcher).await;
}

/// Writes to a file all the time until it is dropped.
struct BusyWriter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BusyWriter {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut count = 0_u64;
            while !seen.load(Ordering::Relaxed) {
                put(&path, &count.to_string());
                count += 1;
                // Its pace, well below the quiet period; nothing waits for it.
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for BusyWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

#[tokio::test]
async fn busy_writers_put_it_off_by_a_second_only() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "start");
    let mut watcher = Watcher::start(vec![file.clone()]);
    let writer = BusyWriter::start(dir.path().join("neighbour"));
    put(&file, "another");
    let started = Instant::now();
    fires(&mut watcher).await;
    let took = started.elapsed();
    drop(writer);
    assert!(took < Duration::from_secs(3), "it took {took:?}");
}

#[tokio::test]
async fn what_is_still_being_written_is_not_looked_at() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "start");
    let mut watcher = Watcher::start(vec![file.clone()]);
    let writer = BusyWriter::start(file);
    let mut put_off = false;
    // A writer that a busy machine holds up may look as if it had finished, but not every time.
    for _ in 0..5 {
        put_off |= timeout(Duration::from_millis(1500), watcher.changed()).await.is_err();
    }
    assert!(put_off, "it fires while the file is being written");
    drop(writer);
    put(&dir.path().join("stack.yaml"), "whole");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn the_same_half_of_a_file_at_two_looks_is_no_whole_one() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "start");
    let mut watcher = Watcher::start(vec![file.clone()]);
    let writer = std::thread::spawn(move || {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(3) {
            let before = Instant::now();
            put(&file, "ha");
            std::thread::sleep(Duration::from_millis(40));
            longest = longest.max(before.elapsed());
        }
        put(&file, "half and half");
        longest
    });
    let begun = Instant::now();
    fires(&mut watcher).await;
    let early = begun.elapsed() < Duration::from_secs(3);
    // A writer that a busy machine holds up looks as if it had finished.
    let longest = writer.join().expect("it writes");
    assert!(!early || longest > Duration::from_millis(100), "it fires with half a file");
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let mut watcher = Watcher::start(vec![file.clone()]);
    put(&file, "two");
    let all = async {
        // Shorter than the quiet period: every single wait is cut off inside it.
        while timeout(Duration::from_millis(20), watcher.changed()).await.is_err() {}
    };
    timeout(DEADLINE, all).await.expect("the change is noticed in the end");
}

#[tokio::test]
async fn other_paths_from_now_on() {
    let dir = folder();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        put(&at(name), name);
    }
    fs::create_dir(at("sub")).expect("writable");
    let mut watcher = Watcher::start(vec![at("a.yaml"), at("b.yaml")]);

    put(&at("b.yaml"), "changed before the call");
    assert!(watcher.set_watched(vec![at("b.yaml"), at("sub/d.yaml")]), "d.yaml is new");
    fires(&mut watcher).await;
    assert!(!watcher.set_watched(vec![at("b.yaml"), at("sub/d.yaml")]), "nothing is new");
    stays_silent(&mut watcher, "naming the same paths").await;

    put(&at("a.yaml"), "no longer watched");
    stays_silent(&mut watcher, "a write to a path of before").await;
    put(&at("sub/d.yaml"), "new");
    fires(&mut watcher).await;
}

#[tokio::test]
async fn without_any_events_it_looks_by_itself() {
    let dir = folder();
    let file = dir.path().join("stack.yaml");
    put(&file, "one");
    let mut watcher = Watcher::polling(vec![file.clone()]);
    put(&file, "two");
    fires(&mut watcher).await;
    save_by_rename(&file, "three");
    fires(&mut watcher).await;
    stays_silent(&mut watcher, "nothing").await;
}

#[tokio::test]
async fn a_new_folder_on_the_way_of_a_pattern() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("teams/a")).expect("a folder");
    let pattern = format!("{}/teams/*/stack.yaml", dir.path().display());
    let mut watcher = Watcher::start(vec![Watched::Matches(pattern)]);
    fs::create_dir(dir.path().join("teams/b")).expect("a folder");
    stays_silent(&mut watcher, "an empty folder appeared").await;
    put(&dir.path().join("teams/b/stack.yaml"), "new");
    fires(&mut watcher).await;
    // What is in a match is not the pattern's business.
    put(&dir.path().join("teams/b/stack.yaml"), "changed");
    stays_silent(&mut watcher, "a change elsewhere").await;
    fs::remove_dir_all(dir.path().join("teams/b")).expect("it is there");
    fires(&mut watcher).await;

    // The whole at once, as a checkout makes it.
    fs::create_dir(dir.path().join("new")).expect("a folder");
    put(&dir.path().join("new/stack.yaml"), "new");
    fs::rename(dir.path().join("new"), dir.path().join("teams/c")).expect("one file system");
    fires(&mut watcher).await;
}
