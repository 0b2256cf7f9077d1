//! Where a program is looked for, and what becomes of each refusal.

#![expect(unsafe_code, reason = "it reads what the kernel would")]

use std::cell::RefCell;

use super::*;

fn image(words: &[&str], path: Option<&str>) -> Image {
    let program = Program::Command(words.iter().map(|&word| word.to_owned()).collect());
    let mut variables = BTreeMap::from([("A".into(), "1".into())]);
    variables.extend(path.map(|path| ("PATH".into(), path.into())));
    Image::new(&program, Path::new("/"), &variables).unwrap()
}

fn strings(mut pointers: *const *const c_char) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        // SAFETY: an image's pointers lead to its strings, and end with a null.
        let pointer = unsafe { *pointers };
        if pointer.is_null() {
            return found;
        }
        // SAFETY: as above.
        found.push(unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned());
        // SAFETY: it was not the last.
        pointers = unsafe { pointers.add(1) };
    }
}

/// What is tried, with its arguments, where the system answers like that.
fn tried(image: &Image, answers: &[(&str, Refusal)]) -> (Vec<String>, Refusal) {
    let tried = RefCell::new(Vec::new());
    let refusal = image.execute(|place, arguments, variables| {
        assert!(strings(variables).contains(&"A=1".to_owned()));
        let place = place.to_str().unwrap();
        tried.borrow_mut().push(format!("{place}: {}", strings(arguments).join(" ")));
        answers.iter().find(|(known, _)| *known == place).map_or(Refusal::NOENT, |known| known.1)
    });
    (tried.into_inner(), refusal)
}

#[test]
fn a_name_is_looked_for_in_every_folder() {
    let image = image(&["prog", "x"], Some("/one::/two"));
    let all = ["/one/prog: prog x", "prog: prog x", "/two/prog: prog x"].map(str::to_owned);
    assert_eq!(tried(&image, &[]), (all.to_vec(), Refusal::NOENT));
    // No permission in one folder does not hide another, and is what is said in the end.
    assert_eq!(tried(&image, &[("prog", Refusal::ACCESS)]), (all.to_vec(), Refusal::ACCESS));
    let (tried, refusal) = tried(&image, &[("prog", Refusal::NOMEM)]);
    assert_eq!((tried.len(), refusal), (2, Refusal::NOMEM));
}

#[test]
fn without_a_path_the_usual_one_counts() {
    let (tried, _) = tried(&image(&["prog"], None), &[]);
    assert_eq!(tried, ["/usr/local/bin/prog: prog", "/usr/bin/prog: prog", "/bin/prog: prog"]);
}

#[test]
fn a_path_is_taken_as_it_is() {
    let (tried, refusal) = tried(&image(&["./prog", "x"], Some("/one")), &[]);
    assert_eq!((tried, refusal), (vec!["./prog: ./prog x".to_owned()], Refusal::NOENT));
    let (nothing, refusal) = tried_none(&[""]);
    assert_eq!((nothing.len(), refusal), (0, Refusal::NOENT));
    assert_eq!(tried_none(&[]).0.len(), 0);
}

fn tried_none(words: &[&str]) -> (Vec<String>, Refusal) {
    tried(&image(words, Some("/one")), &[])
}

#[test]
fn a_script_that_names_no_interpreter_is_for_the_shell() {
    let image = image(&["prog", "x", "y"], Some("/one:/two"));
    let (tried, refusal) = tried(&image, &[("/two/prog", Refusal::NOEXEC)]);
    let all = ["/one/prog: prog x y", "/two/prog: prog x y", "/bin/sh: /bin/sh /two/prog x y"];
    assert_eq!((tried, refusal), (all.map(str::to_owned).to_vec(), Refusal::NOENT));
}

#[test]
fn a_nul_is_refused() {
    let program = Program::Command(vec!["prog".into(), "a\0b".into()]);
    assert!(Image::new(&program, Path::new("/"), &BTreeMap::new()).is_err());
    let program = Program::Shell("true".into());
    let variables = BTreeMap::from([("A".into(), "a\0b".into())]);
    assert!(Image::new(&program, Path::new("/"), &variables).is_err());
}
