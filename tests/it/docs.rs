//! The documentation says what is so: its examples load, and its links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

fn docs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("docs")).expect("a folder");
    let pages = entries.map(|entry| entry.expect("a folder").path());
    pages.chain([root.join("README.md")]).collect()
}

/// The contents of fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_stack_in_the_documentation_loads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("stack.yaml");
    let mut loaded = 0;
    for path in docs() {
        for block in blocks(&fs::read_to_string(&path).expect("text"), "yaml") {
            // Others are pieces of one.
            if !block.starts_with("stack:") {
                continue;
            }
            fs::write(&file, &block).expect("writable");
            if let Err(error) = warrener::files::load(std::slice::from_ref(&file)) {
                panic!("{}:\n{block}\n{}", path.display(), error.render(false));
            }
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "only {loaded} examples were found");
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for path in docs() {
        let text = fs::read_to_string(&path).expect("text");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let leads_to = path.parent().expect("a folder").join(target);
            assert!(leads_to.exists(), "{}: `{link}` leads nowhere", path.display());
        }
    }
}
