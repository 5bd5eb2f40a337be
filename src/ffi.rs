//! The generated bindings of httpd, APR and our shim.
//!
//! Raw declarations only: nothing but `httpd/`, the module record and the command table may call
//! them, because only there the rules of each C type are written down. Others name its types in the
//! signatures of functions that httpd calls.

#![expect(
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "generated from C headers"
)]
#![allow(
    dead_code,
    reason = "types of unused struct fields come with the used ones"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
