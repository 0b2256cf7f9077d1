//! Which directories tell of a change of a path.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as Linux follows in one path before it gives up.
const MAX_LINKS: u32 = 40;

enum Step {
    Root,
    Up,
    Into(OsString),
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The real directories in which an entry changes when what the absolute `path` leads to is
/// written, replaced, removed or comes into being: the directory of the file (or the directory
/// itself), and the directory of every symbolic link on the way. A way that ends in nothing ends
/// in the last directory that exists, where the next part of it would appear.
///
/// A Kubernetes `ConfigMap` is why every link counts: `stack.yaml` leads to `..data/stack.yaml`,
/// and an update replaces only the link `..data`.
pub(super) fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut here = PathBuf::from("/");
    let mut ahead: VecDeque<Step> = steps(path).collect();
    let mut links = 0;
    while let Some(step) = ahead.pop_front() {
        let next = match step {
            Step::Root => {
                here = PathBuf::from("/");
                continue;
            }
            Step::Up => {
                here.pop();
                continue;
            }
            Step::Into(name) => here.join(name),
        };
        match next.symlink_metadata() {
            Ok(meta) if meta.is_dir() => here = next,
            Ok(meta) if meta.is_symlink() && links < MAX_LINKS => {
                found.insert(here.clone());
                links += 1;
                let Ok(target) = next.read_link() else { return found };
                for step in steps(&target).rev() {
                    ahead.push_front(step);
                }
            }
            _ => break,
        }
    }
    found.insert(here);
    found
}
