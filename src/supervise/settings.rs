//! What the options of a process group mean for its processes, as the monitor and they are told.
//!
//! Runs in the parent, also under `configtest`.

use std::time::Duration;

use wsgi_config::daemon_options::{self, DaemonOptions};
use wsgi_wire::launch::{DaemonSettings, Drawn, List, ProcessSettings, Variable};

use crate::daemon::Relay;

/// What each daemon is told.
pub fn of_daemon(options: &DaemonOptions) -> DaemonSettings {
    DaemonSettings {
        display_name: options.display_name.clone(),
        lang: options.lang.clone(),
        locale: options.locale.clone(),
        least_threads: options.least_threads.unwrap_or(0),
        stack_size: options.stack_size,
        startup_timeout: options.startup_timeout,
        // A group that was made on demand ends as a whole, which is the monitor's to do.
        inactivity_timeout: match options.template {
            Some(_) => Duration::ZERO,
            None => options.inactivity_timeout,
        },
        shutdown_timeout: options.shutdown_timeout,
        graceful_timeout: options.graceful_timeout,
        eviction_timeout: options.eviction_timeout,
        deadlock_timeout: options.deadlock_timeout,
        request_timeout: options.request_timeout,
        interrupt_timeout: options.interrupt_timeout,
        maximum_requests: drawn(options.maximum_requests),
        restart_interval: drawn(options.restart_interval),
        recycle_memory: options.recycle_memory,
        shows_use: options.template.is_some(),
        queue_timeout: options.queue_timeout,
        send_buffer_size: options.send_buffer_size,
        receive_buffer_size: options.receive_buffer_size,
    }
}

/// How Apache's children pass responses on.
pub fn of_relay(options: &DaemonOptions) -> Relay {
    let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    Relay {
        client_timeout: options.response_socket_timeout.or(options.socket_timeout),
        send_buffer: size(options.send_buffer_size),
        receive_buffer: size(options.receive_buffer_size),
        header_bytes: Some(size(options.header_buffer_size)).filter(|bytes| *bytes > 0),
        flush_bytes: options.response_buffer_size,
        flush_delay: options.response_flush_delay,
    }
}

/// What the monitor does before it executes Python; `groups` are the supplementary ones.
pub fn of_process(options: &DaemonOptions, groups: Option<Vec<u32>>) -> ProcessSettings {
    let variable = |(name, value): &(Vec<u8>, Vec<u8>)| Variable {
        name: name.clone(),
        value: value.clone(),
    };
    ProcessSettings {
        umask: options.umask,
        supplementary_groups: groups.map(List),
        chroot: root_of(options),
        cpu_priority: options.cpu_priority,
        cpu_time_limit: options.cpu_time_limit,
        memory_limit: options.memory_limit,
        virtual_memory_limit: options.virtual_memory_limit,
        environment: List(options.environment.iter().map(variable).collect()),
        environment_files: List(options.environment_files.clone()),
    }
}

/// The group's root directory, without a slash at its end; `/` is none.
pub fn root_of(options: &DaemonOptions) -> Option<Vec<u8>> {
    let root = options.chroot.as_deref()?;
    let end = root.iter().rposition(|byte| *byte != b'/')?;
    Some(root[..=end].to_vec())
}

fn drawn(value: daemon_options::Drawn) -> Drawn {
    Drawn {
        least: value.least,
        jitter: value.jitter,
    }
}
