//! Children in control groups: where they are from when on, and what it costs.

use std::fs;
use std::path::Path;
use std::process::Command;

use warrener::process::{SpawnRequest, Spawner};

use super::{output, role, shell, told, until};
use crate::support::control_groups::{Handed, folders};
use crate::support::supervisor::{PATIENCE, wait_until};

/// A role in that group, and perhaps without `clone3`.
fn inside(handed: &Handed, name: &str, without_clone3: bool) -> Command {
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children/without_clone3.py");
    let path = handed.path().display();
    // A supervisor before this one may have made way for memory to be handed on.
    let enter = format!(
        "{{ echo $$ > '{path}/cgroup.procs' || echo $$ > '{path}/supervisor/cgroup.procs'; }} 2>/dev/null;"
    );
    let before = if without_clone3 {
        format!("{enter} exec python3 '{}' \"$0\" \"$@\";", wrapper.display())
    } else {
        enter
    };
    role(name, &before)
}

/// Where a child is and what it starts, and what becomes of the group.
pub(super) async fn grouped(print: &impl Fn(&str)) {
    let spawner = Spawner::start(false).unwrap();
    let home = spawner.control_groups().unwrap().to_owned();
    let (one, other) =
        (spawner.group("orders-0", None).unwrap(), spawner.group("orders-0", None).unwrap());
    let awkward = spawner.group("a/b", None).unwrap();
    let text = "cat /proc/self/cgroup; setsid --wait cat /proc/self/cgroup";
    for group in [&one, &other, &one, &awkward] {
        let request = SpawnRequest { group: Some(group.clone()), ..shell(text) };
        let (text, _) = output(&mut spawner.spawn(request).await.unwrap()).await;
        let groups = text.lines().filter_map(|line| line.strip_prefix("0::"));
        let names = groups.map(|path| path.rsplit_once('/').unwrap());
        let home = home.file_name().unwrap().to_str().unwrap();
        let inside = names.map(|(above, name)| (above.ends_with(home), name));
        print(
            &inside.map(|(inside, name)| format!("{inside} {name}")).collect::<Vec<_>>().join(", "),
        );
    }
    // Somebody has tidied up.
    fs::remove_dir(home.join("orders-0")).unwrap();
    let request = SpawnRequest { group: Some(one.clone()), ..shell("exit 3") };
    let (_, exit) = output(&mut spawner.spawn(request).await.unwrap()).await;
    print(&format!("{exit}, {} groups", folders(&home).len()));
    drop((one, other, awkward));
    until("no groups", || folders(&home).is_empty()).await;
}

#[test]
fn a_child_is_in_its_group_from_its_first_instruction() {
    let Some(handed) = Handed::group(true) else { return };
    for (without_clone3, killed_before) in [(false, false), (true, false), (false, true)] {
        if killed_before {
            // From now on the kernel kills at its birth whoever is cloned from here to elsewhere.
            fs::write(handed.path().join("cgroup.kill"), "1").unwrap();
        }
        let told = told(inside(&handed, "grouped", without_clone3));
        let all = ["orders-0", "orders-0.2", "orders-0", "a_b"];
        let all = all.map(|name| format!("true {name}, true {name}"));
        assert_eq!(told[..4], all, "{without_clone3} {killed_before}");
        assert_eq!(told[4..], ["exit code 3, 3 groups"]);
        // By the guardian, which is in the group that is killed for the next turn.
        wait_until("no group left", PATIENCE, || handed.homes().is_empty());
    }
}

#[test]
fn a_thousand_cycles_in_a_group_leave_nothing_behind() {
    let Some(handed) = Handed::group(true) else { return };
    let told = told(inside(&handed, "cycles", false));
    assert_eq!(told[..3], ["survivors 0", "children 0", "descriptors +0"], "{told:?}");
    wait_until("no group left", PATIENCE, || handed.homes().is_empty());
}
