//! What can be told without a node.

use super::install::install_hint;

fn hint(os_release: &str, programs: &[&str]) -> String {
    install_hint(os_release, |program| programs.contains(&program), false)
}

#[test]
fn hints_fit_the_machine() {
    let debian = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n";
    let ubuntu = "ID=ubuntu\nID_LIKE=debian\n";
    let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
    let alpine = "ID=alpine\n";
    assert_eq!(hint(debian, &[]), "install it with `sudo apt-get install rabbitmq-server`");
    assert_eq!(hint(ubuntu, &[]), "install it with `sudo apt-get install rabbitmq-server`");
    assert_eq!(hint(rocky, &["dnf"]), "install it with `sudo dnf install rabbitmq-server`");
    assert_eq!(hint(alpine, &[]), "install it with `sudo apk add rabbitmq-server`");
    assert_eq!(hint("", &["brew"]), "install it with `brew install rabbitmq`");
    assert_eq!(hint("ID=debian", &["brew"]), hint(debian, &[]), "the system's own comes first");
    assert!(hint("ID=plan9", &[]).contains("https://www.rabbitmq.com/"));
}

#[test]
fn root_needs_no_sudo() {
    let hint = install_hint("ID=debian", |_| false, true);
    assert_eq!(hint, "install it with `apt-get install rabbitmq-server`");
}
