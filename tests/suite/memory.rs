//! Memory over many requests: nothing may stay behind of a request that is over.

use wsgi_tests::Request;

use crate::support::serving;

/// Requests until allocators, caches and arenas have their sizes.
const WARM_UP: usize = 4000;
const MEASURED: usize = 8000;
/// What allocators may still do; a leak of 200 bytes a request would show.
const SLACK_KIB: u64 = 1536;

in_both_modes! {
    fn thousands_of_requests_leave_nothing_in_memory(mode) {
        let server = serving(mode, "environ").alone().start();
        let mut connection = server.connect();
        let request = Request::post("/path?query=1", vec![b'x'; 3000]).header("X-Some", "header");
        let mut ask = |count: usize| {
            for _ in 0..count {
                let response = connection.roundtrip(&request).expect("an answer");
                assert_eq!(response.status(), 200);
            }
        };
        ask(WARM_UP);
        let before: Vec<_> = server
            .processes()
            .into_iter()
            .map(|process| (process.memory().resident, process))
            .collect();
        ask(MEASURED);
        for (resident, process) in before {
            let growth = process.memory().resident.saturating_sub(resident);
            let title = process.executable.display();
            assert!(growth <= SLACK_KIB, "{} {title} grew by {growth} KiB", process.pid);
        }
    }
}
