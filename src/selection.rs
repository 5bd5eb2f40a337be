//! Which application answers a request: script, process group, application group, callable.
//!
//! Runs in a child's request thread. Names are expanded here and nowhere else.

use std::borrow::Cow;
use std::ffi::CString;

use wsgi_config::alias::AliasOptions;
use wsgi_config::function_script::HandlerScript;
use wsgi_config::group::{
    DEFAULT_CALLABLE, Lookup, expand_application_group, expand_callable, expand_process_group,
    is_computed,
};
use wsgi_config::script_name::collapse;

use crate::config::{Alias, DirectoryConfig};
use crate::httpd::request::Request;
use crate::keyed::KeyError;
use crate::site::Site;

/// The application of a request.
#[derive(Debug)]
pub struct Selection<'r> {
    /// The script's path.
    pub script: &'r [u8],
    /// The script that WSGIHandlerScript names for the request's handler; empty without one.
    pub handler_script: &'r [u8],
    /// The process group; empty for embedded mode.
    pub process_group: Cow<'r, [u8]>,
    /// The application group; empty for the main interpreter.
    pub application_group: Cow<'r, [u8]>,
    /// The client has a say in that name.
    pub computed_group: bool,
    /// The callable object's name.
    pub callable: Cow<'r, [u8]>,
}

/// Which script a request leads to, and what is said about it there.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The file its path is mapped to, perhaps by an alias.
    File(Option<&'static Alias>),
    /// The script that WSGIHandlerScript names for its handler.
    Handler(&'static HandlerScript),
}

impl Target {
    /// The options of the alias or handler.
    pub fn options(self) -> Option<&'static AliasOptions> {
        match self {
            Target::File(alias) => alias.map(|alias| &alias.script.options),
            Target::Handler(handler) => Some(&handler.options),
        }
    }
}

/// Finds the application: what the options of the alias or handler say, else what the
/// directory says, else the default.
pub fn select<'r>(
    request: Request<'r>,
    config: &DirectoryConfig,
    target: Target,
    site: &Site,
) -> Result<Selection<'r>, KeyError> {
    let names = Names {
        request,
        ignores_case: site.ignores_case,
    };
    let options = target.options();
    let handler_script = match target {
        Target::Handler(handler) => &handler.path[..],
        Target::File(_) => &[],
    };
    let process_group = options
        .and_then(|options| options.process_group.as_deref())
        .or(config.process_group.value().map(|name| name.bytes()))
        .unwrap_or_default();
    let application_group = options
        .and_then(|options| options.application_group.as_deref())
        .or(config.application_group.value().map(|name| name.bytes()))
        .unwrap_or(b"%{RESOURCE}");
    // On an alias the callable's name is verbatim; only the directive's expands.
    let callable = match options.and_then(|options| options.callable_object.as_deref()) {
        Some(name) => Cow::Borrowed(name),
        None => match config.callable_object.value() {
            Some(name) => expand_callable(name.bytes(), &names),
            None => Cow::Borrowed(DEFAULT_CALLABLE),
        },
    };
    let process_group = match site.with_key(process_group, request)? {
        Cow::Borrowed(name) => expand_process_group(name, &names),
        named => named,
    };
    Ok(Selection {
        script: match target {
            Target::Handler(handler) => &handler.path,
            Target::File(_) => request.filename().unwrap_or_default(),
        },
        handler_script,
        process_group,
        application_group: expand_application_group(application_group, &names),
        computed_group: is_computed(application_group),
        callable,
    })
}

/// SCRIPT_NAME and PATH_INFO: the path up to and after the script, runs of slashes made one.
pub fn script_and_path<'r>(request: Request<'r>) -> (Cow<'r, [u8]>, Cow<'r, [u8]>) {
    // httpd has collapsed the slashes of what follows the script, but not those of the URI.
    let uri = collapse(request.uri().unwrap_or_default());
    let path_info = collapse(request.path_info().unwrap_or_default());
    let kept = uri.strip_suffix(&*path_info).map_or(uri.len(), <[u8]>::len);
    let script_name = match uri {
        Cow::Borrowed(uri) => Cow::Borrowed(&uri[..kept]),
        Cow::Owned(mut uri) => {
            uri.truncate(kept);
            Cow::Owned(uri)
        }
    };
    (script_name, path_info)
}

/// The tokens' values in a request.
pub struct Names<'r> {
    /// The request.
    pub request: Request<'r>,
    /// WSGICaseSensitivity Off.
    pub ignores_case: bool,
}

impl Names<'_> {
    fn with_port(&self, host: &[u8]) -> Vec<u8> {
        let port = self.request.server_port();
        let mut name = host.to_vec();
        if port != 80 && port != 443 {
            name.extend_from_slice(format!(":{port}").as_bytes());
        }
        name
    }
}

impl Lookup for Names<'_> {
    fn server(&self) -> Vec<u8> {
        self.with_port(self.request.server().hostname())
    }

    fn host(&self) -> Vec<u8> {
        let server = self.request.server();
        self.with_port(self.request.host().unwrap_or_else(|| server.hostname()))
    }

    fn resource(&self) -> Vec<u8> {
        let mut name = self.server();
        name.push(b'|');
        let script_name = script_and_path(self.request).0;
        if self.ignores_case {
            name.extend(script_name.iter().map(u8::to_ascii_lowercase));
        } else {
            name.extend_from_slice(&script_name);
        }
        name
    }

    fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let key = CString::new(name).ok()?;
        let value = self
            .request
            .notes()
            .value(&key)
            .or_else(|| self.request.subprocess_env().value(&key));
        match value {
            Some(value) => Some(value.to_vec()),
            None => std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec),
        }
    }
}
