//! Attaching threads to interpreters: who may touch Python objects, and when.
//!
//! Runs on every thread that calls Python. Each thread keeps one thread state per interpreter for as
//! long as it lives, because making one costs up to a thousand times what switching to it does.
//! Nothing here uses the `GILState` functions, which know one interpreter only.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::ffi;

use super::entrance::Entrance;
use super::new_interpreter;

/// Proof that this thread is attached to an interpreter, for as long as `'p`.
#[derive(Debug, Clone, Copy)]
pub struct Python<'p>(PhantomData<(&'p (), *mut ())>);

impl<'p> Python<'p> {
    /// The proof inside a function that Python calls.
    ///
    /// # Safety
    /// The calling thread must be attached to an interpreter for the whole of `'p`.
    pub unsafe fn assume() -> Self {
        Python(PhantomData)
    }

    /// Runs `work` with the GIL released, so that other threads can run Python meanwhile.
    ///
    /// Objects are not `Send`, so `work` cannot touch any. It may attach the thread anew: sending to
    /// Apache can run another request inside (mod_include).
    pub fn detached<R>(self, work: impl FnOnce() -> R + Send) -> R {
        struct Restore {
            state: *mut ffi::PyThreadState,
            attached: bool,
        }
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: the state was this thread's current one and nothing is current now.
                measured(|| unsafe { ffi::PyEval_RestoreThread(self.state) });
                THREAD.with(|thread| thread.attached.set(self.attached));
            }
        }
        let _restore = Restore {
            // SAFETY: self proves that this thread is attached.
            state: unsafe { ffi::PyEval_SaveThread() },
            attached: THREAD.with(|thread| thread.attached.replace(false)),
        };
        work()
    }
}

/// An interpreter of this process; interpreters live until the process ends.
#[derive(Debug)]
pub struct InterpreterState {
    state: *mut ffi::PyInterpreterState,
    index: usize,
    /// The way to its GIL, which it may share with others.
    entrance: Arc<Entrance>,
}

// SAFETY: the pointer is only handed to PyThreadState_New, which locks for itself.
unsafe impl Send for InterpreterState {}
// SAFETY: as for Send.
unsafe impl Sync for InterpreterState {}

/// Set when Python may no longer be entered, because its process is about to end.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Set when somebody wants to know how long threads wait for the GIL.
static MEASURED: AtomicBool = AtomicBool::new(false);

/// How often and how long a thread waited for the GIL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// How often it asked.
    pub count: u64,
    /// How long it waited, all in all.
    pub total: Duration,
    /// The shortest wait.
    pub least: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        self.least = if self.count == 0 {
            wait
        } else {
            self.least.min(wait)
        };
        self.count += 1;
        self.total += wait;
        self.most = self.most.max(wait);
    }
}

thread_local! {
    static WAITS: Cell<Waits> = const {
        Cell::new(Waits {
            count: 0,
            total: Duration::ZERO,
            least: Duration::ZERO,
            most: Duration::ZERO,
        })
    };
}

/// From now on every wait for the GIL is measured.
pub fn measure_waits() {
    MEASURED.store(true, Ordering::Relaxed);
}

/// The calling thread's waits since the last call.
pub fn take_waits() -> Waits {
    WAITS.take()
}

fn measured(wait: impl FnOnce()) {
    if !MEASURED.load(Ordering::Relaxed) {
        return wait();
    }
    let since = Instant::now();
    wait();
    let mut waits = WAITS.get();
    waits.add(since.elapsed());
    WAITS.set(waits);
}

/// A thread state of the calling thread in one interpreter.
#[derive(Clone, Copy)]
struct Cached {
    /// Null when the thread has none there.
    state: *mut ffi::PyThreadState,
    /// Made by [`Attached::new`] and to be freed with the thread. The first thread state of an
    /// interpreter never is: CPython 3.11 aborts when it makes another after the last was freed.
    own: bool,
}

impl Cached {
    const NONE: Cached = Cached {
        state: ptr::null_mut(),
        own: false,
    };
}

/// The calling thread's thread states, by the interpreter's index; freed with the thread.
struct ThreadStates {
    attached: Cell<bool>,
    states: RefCell<Vec<Cached>>,
}

impl Drop for ThreadStates {
    fn drop(&mut self) {
        if !LEFT.load(Ordering::Acquire) {
            free_own(&std::mem::take(self.states.get_mut()));
        }
    }
}

thread_local! {
    static THREAD: ThreadStates = const {
        ThreadStates { attached: Cell::new(false), states: RefCell::new(Vec::new()) }
    };
}

fn free_own(states: &[Cached]) {
    for cached in states.iter().filter(|cached| cached.own) {
        free(cached.state);
    }
}

/// Ends a thread state of the calling thread, which must not be attached.
fn free(state: *mut ffi::PyThreadState) {
    // SAFETY: the state belongs to this thread, is not current, and its interpreter lives.
    unsafe { ffi::PyEval_RestoreThread(state) };
    // SAFETY: the state is current, so the GIL is held as clearing demands.
    unsafe { ffi::PyThreadState_Clear(state) };
    // SAFETY: attached since the first line.
    unsafe { ffi::PyEval_SaveThread() };
    // PyThreadState_DeleteCurrent is not in the stable ABI; a detached state may be deleted.
    // SAFETY: the state was cleared, is not current, and is used by nobody else.
    unsafe { ffi::PyThreadState_Delete(state) };
}

/// Frees the thread states of the calling thread, which must not be attached.
pub fn end_thread() {
    let states = THREAD.with(|thread| std::mem::take(&mut *thread.states.borrow_mut()));
    free_own(&states);
}

/// From now on threads that end leave their thread states alone: the process is about to end.
pub fn leave_threads() {
    LEFT.store(true, Ordering::Release);
}

/// Takes over the interpreter that the calling thread is attached to by other means, with the
/// current thread state as this thread's. `index` counts the interpreters of the process.
pub fn adopt_current(python: Python<'_>, index: usize) -> InterpreterState {
    let (interpreter, state) = current(python, index, Arc::default());
    remember(index, Cached { state, own: false });
    interpreter
}

fn current(
    _: Python<'_>,
    index: usize,
    entrance: Arc<Entrance>,
) -> (InterpreterState, *mut ffi::PyThreadState) {
    // SAFETY: attached, so there is a current thread state.
    let current = unsafe { ffi::PyThreadState_Get() };
    // SAFETY: current is a live thread state.
    let state = unsafe { ffi::PyThreadState_GetInterpreter(current) };
    let interpreter = InterpreterState {
        state,
        index,
        entrance,
    };
    (interpreter, current)
}

fn remember(index: usize, cached: Cached) {
    THREAD.with(|thread| {
        let mut states = thread.states.borrow_mut();
        if states.len() <= index {
            states.resize(index + 1, Cached::NONE);
        }
        states[index] = cached;
    });
}

/// The calling thread is attached to an interpreter until this is dropped.
#[derive(Debug)]
pub struct Attached<'i> {
    /// By which the thread came in, if it queued for its turn.
    entrance: Option<&'i Entrance>,
    on_thread: PhantomData<(&'i InterpreterState, *mut ())>,
}

impl<'i> Attached<'i> {
    /// Waits for the GIL and attaches the calling thread, which must not be attached.
    ///
    /// # Panics
    /// When this thread is attached by another guard: waiting would never end.
    pub fn new(interpreter: &'i InterpreterState) -> Self {
        let state = Self::state_in(interpreter);
        // SAFETY: the state is this thread's, and its flag tells that none is current.
        measured(|| unsafe { ffi::PyEval_RestoreThread(state) });
        Attached::without_entrance()
    }

    /// The same in the order in which requests come.
    pub fn in_turn(interpreter: &'i InterpreterState) -> Self {
        let state = Self::state_in(interpreter);
        let entrance = &*interpreter.entrance;
        // SAFETY: the state is this thread's, and its flag tells that none is current.
        measured(|| entrance.pass(|| unsafe { ffi::PyEval_RestoreThread(state) }));
        Attached {
            entrance: Some(entrance),
            on_thread: PhantomData,
        }
    }

    fn without_entrance() -> Self {
        Attached {
            entrance: None,
            on_thread: PhantomData,
        }
    }

    /// The calling thread's state in the interpreter, about to become its current one.
    fn state_in(interpreter: &InterpreterState) -> *mut ffi::PyThreadState {
        let cached = THREAD.with(|thread| {
            assert!(
                !thread.attached.replace(true),
                "a thread is attached to one interpreter at a time"
            );
            thread.states.borrow().get(interpreter.index).copied()
        });
        match cached {
            Some(cached) if !cached.state.is_null() => cached.state,
            _ => {
                // SAFETY: the interpreter lives; the function may be called without the GIL.
                let state = unsafe { ffi::PyThreadState_New(interpreter.state) };
                assert!(!state.is_null(), "no memory for a thread state");
                remember(interpreter.index, Cached { state, own: true });
                state
            }
        }
    }

    /// The proof for functions that touch objects.
    pub fn python(&self) -> Python<'_> {
        Python(PhantomData)
    }

    /// Makes a new interpreter next to the attached main one; the guard then stands for the new one.
    /// It shares the GIL of `sharing`, or has one of its own. `None` when Python could not make it,
    /// which has then printed why.
    pub fn into_new_interpreter(
        self,
        index: usize,
        sharing: Option<&InterpreterState>,
    ) -> Option<(Attached<'static>, InterpreterState)> {
        // SAFETY: attached, so there is a current thread state to come back to.
        let back = unsafe { ffi::PyThreadState_Get() };
        // SAFETY: attached.
        let created = unsafe { new_interpreter::create(sharing.is_none()) };
        if created.is_null() {
            // SAFETY: after a failure no thread state is current but the GIL is held.
            unsafe { ffi::PyThreadState_Swap(back) };
            return None;
        }
        std::mem::forget(self);
        // The new interpreter's first thread state stays with it, unused: see `Cached::own`.
        let entrance = sharing.map(|other| Arc::clone(&other.entrance));
        let python = Python(PhantomData);
        let (interpreter, _) = current(python, index, entrance.unwrap_or_default());
        Some((Attached::without_entrance(), interpreter))
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        // SAFETY: attached since new().
        unsafe { ffi::PyEval_SaveThread() };
        THREAD.with(|thread| thread.attached.set(false));
        if let Some(entrance) = self.entrance {
            entrance.leave();
        }
    }
}
