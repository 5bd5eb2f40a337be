//! Memory over many requests: nothing may stay behind of a request that is over.

use wsgi_tests::apache::only_ours;
use wsgi_tests::load::Load;
use wsgi_tests::{Builder, Mode, Request, Server};

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

/// KiB that a child may hold for what it has of ours when daemons run the applications.
const OURS_KIB: u64 = 1536;
const CONNECTIONS: usize = 16;

#[test]
fn a_child_that_talks_to_daemons_weighs_little_more_than_a_bare_one() {
    if only_ours("its children hold more") {
        return;
    }
    let bare = Server::builder(Mode::Embedded)
        .module_under_test(None)
        .file("htdocs/hello", "Hello World!");
    let bare = weight_after_load(bare, "/hello");
    let ours = weight_after_load(serving(Mode::Daemon, "hello"), "/");
    assert!(ours <= bare + OURS_KIB, "{ours} KiB beside {bare} KiB");
}

/// KiB of the one child after all of its threads have answered many requests.
fn weight_after_load(builder: Builder, path: &str) -> u64 {
    let server = builder.alone().start();
    let load = Load::start(server.address(), path, CONNECTIONS);
    load.wait_for_more(20_000);
    assert_eq!(load.finish().failed, []);
    let children = server.children();
    assert_eq!(children.len(), 1);
    children[0].memory().proportional
}
