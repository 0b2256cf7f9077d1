//! Whatever somebody calls definitions: it is refused, or becomes a file that reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use warrener_fuzz::config::Environment;
use warrener_fuzz::definitions::{Carried, Document, Purpose, Wish, carry};
use warrener_fuzz::model::StackName;
use warrener_fuzz::resolve;

/// The variables for the secrets of what was carried over.
struct Known<'a>(&'a Carried);

impl Environment for Known<'_> {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.secrets.variable(name).map(|secret| secret.expose_secret().to_owned()))
    }

    fn file(&self, _: &std::path::Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

fuzz_target!(|text: &str| {
    let Ok(document) = Document::parse(text) else { return };
    let wish = Wish { vhost: Some("/"), select: None, secrets: false, purpose: Purpose::Anywhere };
    let Ok(carried) = carry(&document, &wish) else { return };
    for note in &carried.notes {
        let _ = note.to_string();
    }
    let stack = StackName::new("fuzz").expect("a name");
    let mut sheet = carried.sheet(&stack);
    sheet.url = Some("amqp://localhost/%2f");
    let sheet = sheet.text();
    match resolve(&sheet, &Known(&carried)) {
        Ok(read) => assert_eq!(read.desired.topology, carried.topology, "reads back as another"),
        Err(found) => panic!("{}\n{sheet}", found.sources.render(&found.problems, false)),
    }
});
