//! Just enough Rust reading for rules about source files: comments and literals blanked out, and
//! every path that the rest speaks of, with `use` groups written out.

/// The text with comments and the insides of literals as blanks; lines stay where they were.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at + 1),
            '\'' => char_end(&chars, at),
            c if c.is_alphanumeric() || c == '_' => {
                let word = at;
                let mut end = at;
                while chars.get(end).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                    end += 1;
                }
                out.extend(&chars[word..end]);
                at = end;
                let prefix: String = chars[word..end].iter().collect();
                match (prefix.as_str(), raw_end(&chars, end)) {
                    ("r" | "br" | "cr", Some(end)) => end,
                    _ => continue,
                }
            }
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose prefix ends at `from`; `None` where there is none.
fn raw_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return None;
    }
    let closed = |at: &usize| {
        chars[*at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (from + hashes + 1..chars.len()).find(closed)?;
    Some(end + 1 + hashes)
}

/// A character literal ends with a quote; a lifetime has none.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), Some(_)) => {
            (from + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |end| end + 1)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// A path as it is written, `use` groups written out, and the line it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// Counted from 1.
    pub(super) line: usize,
    /// Such as `crate::model::Queue`.
    pub(super) path: String,
}

/// Every path in `code`, which must have gone through [`code_only`].
pub(super) fn paths(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let captures = tokens.get(at + 1).is_some_and(|(_, token)| token == "<");
        // `impl Trait + use<'a>` names what a type captures and nothing that is imported.
        at = if tokens[at].1 == "use" && !captures {
            tree(&tokens, at + 1, "", &mut found)
        } else if is_word(&tokens[at].1) {
            let (path, next) = path(&tokens, at);
            found.push(Mention { line: tokens[at].0, path });
            next
        } else {
            at + 1
        };
    }
    found
}

/// Reads one branch of a `use` and gives the place after it.
fn tree(
    tokens: &[(usize, String)],
    mut at: usize,
    prefix: &str,
    found: &mut Vec<Mention>,
) -> usize {
    let Some((line, _)) = tokens.get(at) else { return at };
    let mut whole = prefix.to_owned();
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    at = tree(tokens, at, &whole, found);
                    if tokens.get(at).is_some_and(|(_, token)| token != "}") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            ";" | "," | "}" => break,
            // What it is called here is no part of where it comes from.
            "as" => at += 2,
            token => {
                whole.push_str(token);
                at += 1;
            }
        }
    }
    found.push(Mention { line: *line, path: whole });
    at
}

fn path(tokens: &[(usize, String)], from: usize) -> (String, usize) {
    let (mut path, mut at) = (tokens[from].1.clone(), from + 1);
    while let (Some((_, colons)), Some((_, word))) = (tokens.get(at), tokens.get(at + 1))
        && colons == "::"
        && is_word(word)
    {
        path = format!("{path}::{word}");
        at += 2;
    }
    (path, at)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single other characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = match (word, rest.starts_with("::")) {
                (0, true) => 2,
                (0, false) => first.len_utf8(),
                (word, _) => word,
            };
            found.push((number + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    found
}

#[test]
fn comments_and_literals_are_blank() {
    let check = |text: &str, code: &str| assert_eq!(code_only(text), code);
    check("a // unsafe\nb", "a          \nb");
    check("a /* x /* y */ z */ b", "a                   b");
    check(r#"f("unsafe \" x", 'u', '"', '\'') b"#, r"f(             ,    ,    ,     ) b");
    check("f::<'a>(&'a str) r#\"x \" y\"# b", "f::<'a>(&'a str) r          b");
}

#[test]
fn paths_are_written_out() {
    let check = |code: &str, wanted: &[&str]| {
        let found: Vec<_> = paths(code).into_iter().map(|mention| mention.path).collect();
        assert_eq!(found, wanted);
    };
    check("use std::{fs, io::{self, Read as _}};", &["std::fs", "std::io::self", "std::io::Read"]);
    check("pub use a::b; x(std::env::var(y))", &["pub", "a::b", "x", "std::env::var", "y"]);
    check("use crate::{model::*, plan as p};", &["crate::model::*", "crate::plan"]);
    check("X + use<'_, T> { a; b }", &["X", "use", "_", "T", "a", "b"]);
    assert_eq!(paths("a\n  ::b\n c")[1], Mention { line: 3, path: "c".into() });
}
