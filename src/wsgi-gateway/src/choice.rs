//! What the configuration says about an application group's interpreter, and whether this Python
//! can do it.
//!
//! Asked once for each application group, by the thread that needs its interpreter. What cannot be
//! done is told in one line of the log and left.

use std::sync::Arc;

use wsgi_wire::launch::{GatewayConfig, InterpreterRule};

use crate::log::{self, level};
use crate::python;

/// The configuration's rules in the light of the Python that runs.
pub struct Choice {
    config: Arc<GatewayConfig>,
    version: (u32, u32),
}

impl Choice {
    /// The rules of this process.
    pub fn new(config: Arc<GatewayConfig>) -> Self {
        let choice = Choice {
            config,
            version: python::version(),
        };
        let process = choice.config.interpreters.of_process();
        if process.free_threading == Some(true) {
            choice.complain("WSGIFreeThreading has no effect: this build of Python has a GIL");
        }
        choice
    }

    /// Whether the group gets a GIL of its own. The main interpreter never does.
    pub fn own_gil(&self, group: &[u8]) -> bool {
        let rule = self.config.interpreters.of_application_group(group);
        if group.is_empty() || rule.own_gil != Some(true) {
            return false;
        }
        let able = self.version >= python::OWN_GIL_SINCE;
        if !able {
            let (major, minor) = self.version;
            self.complain(&format!(
                "WSGIPerInterpreterGIL needs Python 3.13 and this is {major}.{minor}: application \
                 group '{}' shares the GIL of its process",
                String::from_utf8_lossy(group)
            ));
        }
        able
    }

    /// How many interpreters the group gets, each with a GIL of its own if there are several.
    pub fn copies(&self, group: &[u8]) -> u32 {
        let wanted = self.config.copies;
        if wanted <= 1 {
            return 1;
        }
        let (major, minor) = self.version;
        if self.version < python::OWN_GIL_SINCE {
            self.complain(&format!(
                "interpreters={wanted} needs Python 3.13 and this is {major}.{minor}: application \
                 group '{}' has one interpreter",
                String::from_utf8_lossy(group)
            ));
            return 1;
        }
        if group.is_empty() {
            self.complain(&format!(
                "interpreters={wanted} has no effect for %{{GLOBAL}}, the main interpreter, of \
                 which a process has one"
            ));
            return 1;
        }
        wanted
    }

    /// What holds for the group's interpreter. A switch interval belongs to a GIL, so a group that
    /// shares one cannot have an interval of its own.
    pub fn rule(&self, group: &[u8], own_gil: bool) -> InterpreterRule {
        let process = self.config.interpreters.of_process();
        let mut rule = self.config.interpreters.of_application_group(group);
        rule.own_gil = Some(own_gil);
        let shown = String::from_utf8_lossy(group);
        if !own_gil && rule.switch_interval != process.switch_interval {
            self.complain(&format!(
                "WSGISwitchInterval has no effect for application group '{shown}', which has no GIL \
                 of its own"
            ));
            rule.switch_interval = process.switch_interval;
        }
        if rule.free_threading == Some(true) && process.free_threading != Some(true) {
            self.complain(&format!(
                "WSGIFreeThreading has no effect for application group '{shown}': it is for whole \
                 processes"
            ));
        }
        rule
    }

    fn complain(&self, line: &str) {
        log::to_process(level::WARNING, line.as_bytes());
    }
}
