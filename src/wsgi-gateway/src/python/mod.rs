//! A thin layer over Python's stable ABI that stays right with several interpreters in a process.
//!
//! pyo3's own safe layer keeps process-wide statics, which leak, deadlock or free twice as soon as
//! two interpreters are in play; so of pyo3 only `ffi` is used, and only in this directory and in
//! the slots of our types. The rules: an object is touched through [`Object`] by a thread that is
//! [`Attached`] to the object's interpreter, what outlives that is [`Stored`] in the structure of its
//! interpreter, and every function that Python calls runs inside a fence.

mod attach;
mod callback;
mod description;
mod entrance;
mod error;
mod fork;
mod initialize;
mod interrupt;
mod new_interpreter;
mod object;
mod owned;
mod text;
mod types;

pub use attach::{
    Attached, InterpreterState, Python, Waits, adopt_current, end_thread, leave_threads,
    measure_waits, take_waits,
};
pub use callback::{Arguments, NO_ARGUMENTS, Receiver, fence_function, fence_method, fence_next};
pub(crate) use callback::{python_function, python_method};
pub use description::{Description, description};
pub use error::{Error, Exception, Raised, restore};
pub use fork::{Side, fork};
pub use initialize::{InitializeError, initialize};
pub use interrupt::{raise_named, send_exception, thread_ident};
pub use new_interpreter::{OWN_GIL_SINCE, version};
pub use object::Object;
pub use owned::{Lent, Owned, Stored};
pub use text::Latin1;
pub use types::{
    Methods, Slots, keywords_method, new_function, new_instance, new_type, no_arguments_method,
};
