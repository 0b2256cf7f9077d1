//! Blots out what must not be repeated when a line of a file is shown.

use std::sync::LazyLock;

use regex::Regex;

/// Credentials inside an address: from the colon after the user to the last `@` of the line. More
/// than needed may be hidden where a line has several, never less.
static IN_ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"://[^\s:/@]*:(?<secret>[^\r\n]*)@"));

/// A secret among the parameters of an address.
static IN_QUERY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)[?&][\w-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|credential)[\w-]*=(?<secret>[^\s&"']+)"#,
    )
});

/// The value after a key that names a secret.
static AFTER_KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:passw(?:or)?d|passphrase|secret|token|api_?key|credential)s?[\w-]*["']?[ \t]*:[ \t]+(?<secret>"[^"\r\n]*"?|'[^'\r\n]*'?|[^\s,}\]#][^\r\n,}\]]*)"#,
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("all patterns are constants that a test compiles")
}

/// The same text with secrets replaced by as many `*` as they have bytes, so that every offset
/// keeps its meaning. What is only a `${…}` is no secret and stays.
pub(super) fn blot(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for pattern in [&*IN_ADDRESS, &*IN_QUERY, &*AFTER_KEY] {
        for found in pattern.captures_iter(text) {
            let Some(secret) = found.name("secret") else { continue };
            let bare = secret.as_str().trim_matches(['"', '\'']);
            if bare.starts_with("${") && bare.ends_with('}') && !bare.contains(":-") {
                continue;
            }
            bytes[secret.range()].fill(b'*');
        }
    }
    // A whole capture is replaced by ASCII and captures end at character boundaries.
    String::from_utf8(bytes).unwrap_or_default()
}
