//! Real files in a folder of their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{HostEnvironment, LoadError, Loaded, Watched, load, load_with};
use crate::config::Environment;

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(TempDir::new().expect("a temporary folder"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    }

    fn load(&self, names: &[&str]) -> Result<Loaded, LoadError> {
        let paths: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        load(&paths)
    }

    fn loaded(&self, names: &[&str]) -> Loaded {
        self.load(names).unwrap_or_else(|error| {
            panic!("{}", error.sources.render(&error.problems, false));
        })
    }

    /// Codes, places and messages, with the folder's name left out.
    fn problems(&self, names: &[&str]) -> Vec<String> {
        let error = self.load(names).expect_err("a problem");
        let prefix = format!("{}/", self.0.path().display());
        let show = |problem: &crate::model::Problem| {
            let place = problem.origin.and_then(|origin| error.sources.locate(origin));
            let place = place.expect("a place");
            format!("{} {place} {}", problem.code, problem.message).replace(&prefix, "")
        };
        error.problems.iter().map(show).collect()
    }
}

fn queues(loaded: &Loaded) -> Vec<&str> {
    loaded.desired.topology.queues().map(|queue| queue.name.as_str()).collect()
}

#[test]
fn a_directory_is_read_without_what_editors_leave_behind() {
    let folder = Folder::new(&[
        ("d/1.yaml", "stack: s\n"),
        ("d/2.yml", "queues: { a: }\n"),
        ("d/.hidden.yaml", "queues: { b: }\n"),
        ("d/.#2.yml", "queues: { c: }\n"),
        ("d/#2.yml#", "queues: { d: }\n"),
        ("d/2.yml~", "queues: { e: }\n"),
        ("d/notes.txt", "{"),
        ("d/sub/3.yaml", "queues: { f: }\n"),
        ("more.yaml", "queues: { z: }\n"),
    ]);
    assert_eq!(queues(&folder.loaded(&["d", "more.yaml"])), ["a", "z"]);
    // The same file by two ways is one file.
    assert_eq!(queues(&folder.loaded(&["d", "d/2.yml", "d/../d/1.yaml"])), ["a"]);
}

#[test]
fn includes_are_relative_globs() {
    let folder = Folder::new(&[
        (
            "stack.yaml",
            "stack: s\ninclude: [\"teams/*.yaml\", \"deep/**/*.yml\", one.yaml, conf.d]\n",
        ),
        ("one.yaml", "queues: { one: }\ninclude: stack.yaml\n"),
        ("teams/a.yaml", "queues: { a: }\ninclude: [\"../shared/*.yaml\"]\n"),
        ("teams/b.yaml", "queues: { b: }\n"),
        ("teams/.c.yaml", "queues: { hidden: }\n"),
        ("deep/x/y/d.yml", "queues: { d: }\n"),
        ("shared/e.yaml", "queues: { e: }\n"),
        ("conf.d/f.yaml", "queues: { f: }\n"),
    ]);
    let loaded = folder.loaded(&["stack.yaml"]);
    assert_eq!(queues(&loaded), ["a", "b", "d", "e", "f", "one"]);
    assert!(loaded.warnings.is_empty());
    let told: Vec<_> = loaded.watched.iter().flat_map(Watched::directories).collect();
    for watched in ["", "teams", "shared", "deep", "deep/x", "deep/x/y", "conf.d"] {
        let real = fs::canonicalize(folder.path(watched)).expect("it is there");
        assert!(told.contains(&real), "{watched} in {told:?}");
    }
}

#[test]
fn includes_that_lead_nowhere() {
    let folder =
        Folder::new(&[("stack.yaml", "stack: s\ninclude: [none.yaml, \"no/*.yaml\", \"a[\"]\n")]);
    assert_eq!(
        folder.problems(&["stack.yaml"]),
        [
            "E0009 stack.yaml:2:11 `none.yaml` is not there",
            "W0002 stack.yaml:2:22 `no/*.yaml` matches no file",
            "E0106 stack.yaml:2:35 `a[` is no pattern: invalid range pattern",
        ]
    );
    folder.write("stack.yaml", "stack: s\ninclude: \"no/*.yaml\"\n");
    assert_eq!(folder.loaded(&["stack.yaml"]).warnings.len(), 1);
    // Made later, it is noticed: the folder in which it would be is watched.
    folder.write("stack.yaml", "stack: s\ninclude: none.yaml\n");
    let error = folder.load(&["stack.yaml"]).expect_err("still not there");
    assert!(error.watched.contains(&folder.path("none.yaml").into()));
}

#[test]
fn a_folder_with_pattern_characters_in_its_name() {
    let folder = Folder::new(&[
        ("a[1]*/stack.yaml", "stack: s\ninclude: [\"q*.yaml\"]\n"),
        ("a[1]*/q1.yaml", "queues: { a: }\n"),
    ]);
    assert_eq!(queues(&folder.loaded(&["a[1]*/stack.yaml"])), ["a"]);
}

#[test]
fn commands_run_in_the_folder_of_their_file() {
    let consumer = "{ queue: q, command: [./x], discard: true";
    let folder = Folder::new(&[
        (
            "stack.yaml",
            &format!(
                "stack: s\ninclude: sub/c.yaml\nqueues: {{ q: }}\nconsumers: {{ a: {consumer} }} }}\n"
            ),
        ),
        ("sub/c.yaml", &format!("consumers: {{ b: {consumer} }}, c: {consumer}, cwd: lib }} }}\n")),
    ]);
    let loaded = folder.loaded(&["stack.yaml"]);
    let folders: Vec<_> = loaded.desired.fleet.consumers().map(|c| c.cwd.clone()).collect();
    assert_eq!(folders, [folder.0.path().to_owned(), folder.path("sub"), folder.path("sub/lib")]);
}

#[test]
fn files_that_cannot_be_trusted_or_read() {
    let folder = Folder::new(&[
        ("ok.yaml", "stack: s\n"),
        ("open.yaml", "queues: {}\n"),
        ("empty/x.txt", ""),
    ]);
    fs::set_permissions(folder.path("open.yaml"), Permissions::from_mode(0o666)).expect("a mode");
    folder.write("latin.yaml", b"queues:\n  \xe9: {}\n");
    folder.write("wide.yaml", b"\xff\xfes\0t\0");
    folder.write("wider.yaml", b"s\0t\0a\0c\0");
    nix::unistd::mkfifo(&folder.path("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let names = [
        "ok.yaml",
        "open.yaml",
        "latin.yaml",
        "wide.yaml",
        "wider.yaml",
        "gone.yaml",
        "empty",
        "pipe.yaml",
    ];
    assert_eq!(
        folder.problems(&names),
        [
            "E0003 open.yaml:1:1 `open.yaml` can be written by everybody",
            "E0004 latin.yaml:2:3 `latin.yaml` is not UTF-8 from here on",
            "E0004 wide.yaml:1:1 `wide.yaml` is UTF-16 or UTF-32, not UTF-8",
            "E0004 wider.yaml:1:1 `wider.yaml` is UTF-16 or UTF-32, not UTF-8",
            "E0002 gone.yaml:1:1 `gone.yaml` cannot be read: no such file or directory",
            "E0005 empty:1:1 `empty` has no `*.yaml` or `*.yml` in it",
            "E0002 pipe.yaml:1:1 `pipe.yaml` is not a regular file",
        ]
    );
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can give a file away; everybody else is covered by files of root being fine.
        assert!(load(&[PathBuf::from("/etc/hostname")]).is_err());
        return;
    }
    let folder = Folder::new(&[("theirs.yaml", "stack: s\n")]);
    std::os::unix::fs::chown(folder.path("theirs.yaml"), Some(12_345), None).expect("an owner");
    assert_eq!(
        folder.problems(&["theirs.yaml"]),
        ["E0003 theirs.yaml:1:1 `theirs.yaml` belongs to the user with the id 12345"]
    );
}

#[test]
fn a_file_that_is_too_large() {
    let folder = Folder::new(&[]);
    folder.write("large.yaml", vec![b'#'; (16 << 20) + 1]);
    assert_eq!(
        folder.problems(&["large.yaml"]),
        ["E0008 large.yaml:1:1 `large.yaml` has more than 16 MiB"]
    );
}

/// Mounted configuration is a link to a link to a folder that is swapped as a whole.
#[test]
fn links_are_followed_and_watched_by_the_name_they_were_given() {
    let folder = Folder::new(&[
        ("v1/stack.yaml", "stack: s\nqueues: { a: }\n"),
        ("v2/stack.yaml", "stack: s\nqueues: { b: }\n"),
    ]);
    fs::create_dir(folder.path("mount")).expect("a folder");
    symlink("../v1", folder.path("mount/..data")).expect("a link");
    symlink("..data/stack.yaml", folder.path("mount/stack.yaml")).expect("a link");
    let first = folder.loaded(&["mount/stack.yaml"]);
    assert_eq!(queues(&first), ["a"]);
    assert_eq!(first.watched, [Watched::Path(folder.path("mount/stack.yaml"))]);
    symlink("../v2", folder.path("mount/..tmp")).expect("a link");
    fs::rename(folder.path("mount/..tmp"), folder.path("mount/..data")).expect("a swap");
    let second = folder.loaded(&["mount"]);
    assert_eq!(queues(&second), ["b"]);
    assert_ne!(first.digest, second.digest);
}

#[test]
fn a_broken_file_does_not_hide_the_problems_of_the_others() {
    let folder = Folder::new(&[
        ("a.yaml", "stack: s\nqueues: { q: { bind: { exchange: e } } }\n"),
        ("b.yaml", "exchanges: { e: \n"),
        ("c.yaml", "queus: {}\n"),
    ]);
    // `e` is not called undeclared: it may well be in the file that could not be read.
    let problems = folder.problems(&["a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("E0001 b.yaml:"), "{problems:?}");
    assert!(problems[1].starts_with("E0102 c.yaml:1:1"), "{problems:?}");
}

#[test]
fn the_digest_follows_the_texts() {
    let folder =
        Folder::new(&[("a.yaml", "stack: \"${file:/dev/shm/none}\"\n"), ("b.yaml", "stack: s\n")]);
    let digest = |names: &[&str]| match folder.load(names) {
        Ok(loaded) => loaded.digest,
        Err(error) => error.digest,
    };
    let before = digest(&["b.yaml"]);
    assert_eq!(before, digest(&["b.yaml"]));
    folder.write("b.yaml", "stack: t\n");
    assert_ne!(before, digest(&["b.yaml"]));
    folder.write("value", "one\n");
    let text = format!("stack: \"${{file:{}}}\"\n", folder.path("value").display());
    folder.write("a.yaml", text);
    let loaded = folder.loaded(&["a.yaml"]);
    assert_eq!(loaded.desired.stack.as_str(), "one");
    assert!(loaded.watched.contains(&folder.path("value").into()));
    folder.write("value", "two\n");
    assert_ne!(loaded.digest, digest(&["a.yaml"]));
}

#[test]
fn the_environment_can_be_another() {
    struct Fixed;
    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Result<Option<String>, String> {
            Ok(Some(name.to_lowercase()))
        }
        fn file(&self, _: &Path) -> Result<String, String> {
            Err("no files here".into())
        }
    }
    let folder = Folder::new(&[("a.yaml", "stack: ${SOME_NAME}\n")]);
    let loaded = load_with(&[folder.path("a.yaml")], &Fixed).expect("a name");
    assert_eq!(loaded.desired.stack.as_str(), "some_name");
    assert_eq!(HostEnvironment.variable("WARRENER_SURELY_UNSET"), Ok(None));
    assert_eq!(HostEnvironment.file(Path::new("/")), Err("it is not a regular file".into()));
}
