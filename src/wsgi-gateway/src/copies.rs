//! The copies of an application group: one interpreter, or several of which each has a GIL of its
//! own (the option `interpreters`), so that one process uses several processors.
//!
//! Used by request threads without the GIL. A copy is leased for a request; nothing waits here.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::interpreters::Interpreter;

/// The interpreters of an application group.
pub struct Copies {
    first: Copy,
    others: Vec<Copy>,
    /// A request gave the group its name.
    computed: bool,
}

struct Copy {
    interpreter: &'static Interpreter,
    /// Requests that run in it; counted only if there are several copies.
    busy: AtomicU32,
}

impl Copy {
    fn of(interpreter: &'static Interpreter) -> Copy {
        Copy {
            interpreter,
            busy: AtomicU32::new(0),
        }
    }
}

impl Copies {
    /// These interpreters; `computed` tells that a request gave the group its name.
    pub fn new(
        first: &'static Interpreter,
        others: Vec<&'static Interpreter>,
        computed: bool,
    ) -> Copies {
        Copies {
            first: Copy::of(first),
            others: others.into_iter().map(Copy::of).collect(),
            computed,
        }
    }

    /// Whether a request gave the group its name.
    pub fn are_computed(&self) -> bool {
        self.computed
    }

    /// Whether requests are spread over several.
    pub fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Every interpreter.
    pub fn all(&self) -> impl Iterator<Item = &'static Interpreter> {
        let copies = std::iter::once(&self.first).chain(&self.others);
        copies.map(|copy| copy.interpreter)
    }

    /// The copy that runs the fewest requests, for one more. Of equals the first, which keeps few
    /// of them warm; two threads that choose at once may choose the same.
    pub fn lease(&self) -> Lease<'_> {
        if self.others.is_empty() {
            return Lease {
                interpreter: self.first.interpreter,
                busy: None,
            };
        }
        let load = |copy: &Copy| copy.busy.load(Ordering::Relaxed);
        let copy = self.others.iter().fold(&self.first, |least, other| {
            if load(other) < load(least) {
                other
            } else {
                least
            }
        });
        copy.busy.fetch_add(1, Ordering::Relaxed);
        Lease {
            interpreter: copy.interpreter,
            busy: Some(&copy.busy),
        }
    }
}

/// A copy that a request uses until this is dropped.
pub struct Lease<'c> {
    /// The copy.
    pub interpreter: &'static Interpreter,
    busy: Option<&'c AtomicU32>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(busy) = self.busy {
            busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
