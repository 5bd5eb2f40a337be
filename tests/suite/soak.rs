//! A short soak: what `ci/soak` does for half an hour, for two cycles.

use std::time::Duration;

use wsgi_tests::soak;

use wsgi_tests::apache::only_ours;

#[test]
fn two_cycles_of_disturbances_lose_and_leave_nothing() {
    if only_ours("it has no recycle-memory") {
        return;
    }
    let verdict = soak::run(Duration::ZERO, Duration::from_secs(5), |line| {
        println!("{line}");
    });
    assert_eq!(verdict.complaints, [""; 0], "{verdict:?}");
}
