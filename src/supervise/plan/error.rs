//! Why a configuration cannot work: what `apachectl configtest` and the start say.
//!
//! Made in the parent; the sentences name the definition, the option and its value.

use thiserror::Error;

use super::super::probe::Unfit;

/// Why a configuration cannot work.
#[derive(Debug, Error)]
pub enum PlanError {
    /// No such account.
    #[error("{group}: there is no user '{user}'")]
    NoUser {
        /// The group.
        group: String,
        /// The option's value.
        user: String,
    },
    /// No such group of users.
    #[error("{group}: there is no group '{name}'")]
    NoGroup {
        /// The process group.
        group: String,
        /// The option's value.
        name: String,
    },
    /// Daemons never run as root.
    #[error("{group}: user '{user}' is root, which no application may run as")]
    Root {
        /// The group.
        group: String,
        /// The option's value.
        user: String,
    },
    /// Another user needs root.
    #[error("{group}: {option}={value} takes root, and httpd is not started as root")]
    NeedsRoot {
        /// The group.
        group: String,
        /// The option.
        option: &'static str,
        /// The option's value.
        value: String,
    },
    /// `python-home` names no Python that can run daemons.
    #[error("{group}: {unfit}")]
    PythonHome {
        /// The group.
        group: String,
        /// What is wrong.
        unfit: Unfit,
    },
    /// The accounts cannot be read.
    #[error("{group}: the accounts cannot be read: {source}")]
    Accounts {
        /// The group.
        group: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An account that a key names is known by name only.
    #[error("{template}: {option}={value} must name an account as %{{key}}, not by number")]
    KeyedNumber {
        /// The template.
        template: String,
        /// `user` or `group`.
        option: &'static str,
        /// The option's value.
        value: String,
    },
    /// A key cannot choose what is looked up before there is one.
    #[error("{template}: {option}={value} cannot depend on %{{key}}")]
    NotKeyed {
        /// The template.
        template: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// Not even one group may be made.
    #[error("{template}: maximum-processes={maximum} is less than the processes of one group")]
    NoProcesses {
        /// The template.
        template: String,
        /// The option's value.
        maximum: u32,
    },
    /// Its groups are made by requests, which they could not answer.
    #[error("{template}: threads=0 is for programs, which no request makes")]
    NoRequests {
        /// The template.
        template: String,
    },
    /// What gives a key cannot be parsed.
    #[error("the process group '{name}': {said}")]
    Key {
        /// The name as written.
        name: String,
        /// httpd's sentence.
        said: String,
    },
    /// A template has no processes before there is a key.
    #[error(
        "{directive} {script}: '{group}' is one of the groups of a template; its name alone loads \
         the script in each of them when it is made"
    )]
    ImportKey {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An import's process group is not defined.
    #[error("{directive} {script}: no WSGIDaemonProcess defines the process group '{group}'")]
    ImportGroup {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// The process group of a script with functions is not defined.
    #[error("{directive} {script}: no WSGIDaemonProcess defines the process group '{group}'")]
    FunctionGroup {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An import's process group belongs to another virtual host.
    #[error(
        "{directive} {script}: the process group '{group}' belongs to a virtual host of another \
         ServerName"
    )]
    ImportForeign {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// A group without request threads has no program, or several.
    #[error(
        "WSGIDaemonProcess {group}: threads=0 runs the one script that a WSGIImportScript names for \
         the group, and {count} are named"
    )]
    Programs {
        /// The process group.
        group: String,
        /// How many are named.
        count: usize,
    },
    /// A group without request threads is to answer.
    #[error("{directive} {script}: the process group '{group}' has threads=0 and answers nothing")]
    NoThreads {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An option that a group without request threads cannot follow.
    #[error("WSGIDaemonProcess {group}: recycle-memory needs threads")]
    ProgramOption {
        /// The process group.
        group: String,
    },
    /// An import lies outside the root directory of its process group.
    #[error("{group}: chroot={root} has no script {script}, which is to be imported")]
    ImportOutside {
        /// The process group.
        group: String,
        /// The script.
        script: String,
        /// The root directory.
        root: String,
    },
    /// An import wants embedded mode, which is forbidden.
    #[error("{directive} {script}: WSGIRestrictEmbedded keeps scripts out of Apache's processes")]
    ImportEmbedded {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
    },
}
