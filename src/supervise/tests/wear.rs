//! When a worker has done its share.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::model::RecycleSpec;
use crate::supervise::{Usage, Wear, worn};

#[test]
fn each_limit_by_itself() {
    let seconds = Duration::from_secs;
    let none = RecycleSpec::default();
    let by_messages = RecycleSpec { messages: NonZeroU32::new(10), ..none };
    let by_age = RecycleSpec { age: Some(seconds(100)), ..none };
    let by_idle = RecycleSpec { idle: Some(seconds(5)), ..none };
    let by_memory = RecycleSpec { memory: Some(1000), ..none };
    let usage = Usage { messages: 1, ..Usage::default() };
    let fat = Usage { memory: Some(1000), age: seconds(10), ..usage };
    let cases = [
        (none, Usage { messages: u64::MAX, age: seconds(u64::MAX / 4), ..fat }, None),
        (by_messages, Usage { messages: 9, ..usage }, None),
        (by_messages, Usage { messages: 10, ..usage }, Some(Wear::Messages(10))),
        (by_age, Usage { age: seconds(99), ..usage }, None),
        (by_age, Usage { age: seconds(100), ..usage }, Some(Wear::Age(seconds(100)))),
        // Up to a tenth earlier, each in its own way.
        (by_age, Usage { age: seconds(90), chance: 1.0, ..usage }, Some(Wear::Age(seconds(90)))),
        (by_age, Usage { age: seconds(94), chance: 0.5, ..usage }, None),
        // Age counts for those who had nothing to do as well; nothing else does.
        (by_age, Usage { age: seconds(100), ..Usage::default() }, Some(Wear::Age(seconds(100)))),
        (by_idle, Usage { idle: seconds(9), ..Usage::default() }, None),
        (by_idle, Usage { idle: seconds(4), ..usage }, None),
        (by_idle, Usage { idle: seconds(5), ..usage }, Some(Wear::Idle(seconds(5)))),
        (by_memory, fat, Some(Wear::Memory(1000))),
        (by_memory, Usage { memory: Some(999), ..fat }, None),
        (by_memory, Usage { memory: None, ..fat }, None),
        (by_memory, Usage { messages: 0, ..fat }, None),
        (by_memory, Usage { age: seconds(9), ..fat }, None),
    ];
    for (spec, usage, expected) in cases {
        assert_eq!(worn(&spec, &usage), expected, "{usage:?}");
    }
}
