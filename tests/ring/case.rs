//! Cases and the groups of them that share a server.
//!
//! Built once, in the runner's main thread. A case must not change what another case of its group
//! sees, because any of them may be run alone.

use std::cell::RefCell;

use wsgi_tests::apache::compat;
use wsgi_tests::{Builder, Mode, Server};

/// Both modes.
pub const BOTH: &[Mode] = &[Mode::Embedded, Mode::Daemon];

/// What a case does with the running server of its group.
type Check = Box<dyn Fn(&mut Server, Mode) + Send + Sync>;

/// One named case.
pub struct Case {
    /// A sentence in snake case.
    pub name: String,
    /// Panics when the module does not do as the name says.
    pub check: Check,
}

/// Cases on one configuration.
pub struct Group {
    /// First part of its cases' names.
    pub name: &'static str,
    /// The modes its cases run in.
    pub modes: &'static [Mode],
    /// The configuration.
    pub server: Box<dyn Fn(Mode) -> Builder + Send + Sync>,
    /// The cases, in the order they run in.
    pub cases: Vec<Case>,
}

impl Group {
    /// A group without cases that runs in both modes.
    pub fn new(
        name: &'static str,
        server: impl Fn(Mode) -> Builder + Send + Sync + 'static,
    ) -> Group {
        Group {
            name,
            modes: BOTH,
            server: Box::new(server),
            cases: Vec::new(),
        }
    }

    /// Runs in these modes only.
    pub fn modes(mut self, modes: &'static [Mode]) -> Group {
        self.modes = modes;
        self
    }

    /// Adds a case.
    pub fn case(
        mut self,
        name: &str,
        check: impl Fn(&mut Server, Mode) + Send + Sync + 'static,
    ) -> Group {
        self.cases.push(Case {
            name: name.to_owned(),
            check: Box::new(check),
        });
        self
    }

    /// Adds a case for each row of a table: name, target, and the text that a GET answers.
    pub fn texts(mut self, rows: &'static [(&str, &str, &str)]) -> Group {
        for &(name, target, text) in rows {
            self = self.case(name, move |server, _| {
                assert_eq!(server.text(target), text, "{target}");
            });
        }
        self
    }
}

thread_local! {
    static DIFFERENCE: RefCell<Option<&'static str>> = const { RefCell::new(None) };
}

/// Whether the C module runs, which differs here on purpose; `why` tells what it does and which
/// is right. The runner prints it beside the case.
pub fn differs(why: &'static str) -> bool {
    let theirs = compat().is_some();
    if theirs {
        DIFFERENCE.with(|difference| *difference.borrow_mut() = Some(why));
    }
    theirs
}

/// What [`differs`] was told since the last call, on this thread.
pub fn take_difference() -> Option<&'static str> {
    DIFFERENCE.with(|difference| difference.borrow_mut().take())
}
