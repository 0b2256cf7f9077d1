//! Positions in a stream, against a model that looks at every message.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::supervise::Position;

#[test]
fn it_goes_on_with_the_first_that_is_not_done() {
    let mut position = Position::at(None);
    assert_eq!((position.first_open(), position.next()), (None, None));
    for tag in 1..=4 {
        position.delivered(tag, 100 + 2 * tag);
    }
    position.done(1);
    position.done(3);
    assert_eq!((position.first_open(), position.next()), (Some(104), Some(109)));
    position.rewind();
    assert_eq!((position.first_open(), position.next()), (Some(104), Some(104)));
    position.delivered(1, 104);
    position.done(1);
    assert_eq!(position.first_open(), Some(105));
    // A stream that was made anew begins anew.
    position.delivered(2, 0);
    assert_eq!(position.first_open(), Some(0));
}

proptest! {
    #[test]
    fn nothing_that_is_not_done_is_ever_passed_over(
        steps in prop::collection::vec((0..10_u8, 0..20_u64), 1..300),
    ) {
        let mut position = Position::at(Some(0));
        let (mut done, mut on_channel) = (BTreeSet::new(), Vec::new());
        let mut next = 0_u64;
        for (step, number) in steps {
            match step {
                // Streams may leave some out.
                0..=4 => {
                    let offset = next + number / 15;
                    done.extend(next..offset);
                    next = offset + 1;
                    on_channel.push(offset);
                    position.delivered(on_channel.len() as u64, offset);
                }
                5..=8 if !on_channel.is_empty() => {
                    let index = usize::try_from(number).unwrap() % on_channel.len();
                    position.done(index as u64 + 1);
                    done.insert(on_channel[index]);
                }
                9 => {
                    position.rewind();
                    on_channel.clear();
                    next = position.next().unwrap();
                }
                _ => {}
            }
            let first = position.first_open().unwrap();
            for before in 0..first {
                prop_assert!(done.contains(&before), "{before} is passed over");
            }
            prop_assert!(first <= next);
        }
    }
}
