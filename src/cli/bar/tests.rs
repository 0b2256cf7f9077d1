//! What a rate looks like.

use super::*;

#[test]
fn a_rate_is_a_number_that_a_person_reads() {
    let told = [0.0, 0.04, 2.345_6, 9.94, 10.4, 999.5, 1_142.092_4, 1_234_567.8].map(rate);
    let expected = ["0/s", "0/s", "2.3/s", "9.9/s", "10/s", "1,000/s", "1,142/s", "1,234,568/s"];
    assert_eq!(told, expected);
}
