//! What every server says: addresses, account, pool and time-outs.

use crate::options::{ListenerOptions, Mpm, PoolOptions, ServerOptions};
use crate::quote::{QuoteError, quoted, quoted_path};
use crate::server::Server;

/// The most threads a child of Apache gets before another child is added.
const THREADS_PER_CHILD: u32 = 64;

/// The addresses.
pub fn listen(options: &ServerOptions) -> Result<String, QuoteError> {
    let address = |port: u16| match options.listener.host.as_deref() {
        None => Ok(port.to_string()),
        Some(host) if host.contains(':') => quoted(&format!("[{host}]:{port}")),
        Some(host) => quoted(&format!("{host}:{port}")),
    };
    let mut text = String::new();
    if options.plain_http() {
        text += &format!("Listen {}\n", address(options.listener.port)?);
    }
    if let Some(port) = options.tls.https_port {
        text += &format!("Listen {} https\n", address(port)?);
    }
    Ok(text)
}

/// The account of Apache's children.
pub fn identity(server: &Server) -> Result<String, QuoteError> {
    match &server.identity {
        None => Ok(String::new()),
        Some(identity) => {
            let (user, group) = (quoted(&identity.user)?, quoted(&identity.group)?);
            Ok(format!("User {user}\nGroup {group}\n"))
        }
    }
}

/// Names that the original gives to files of `--include-file`.
pub fn defines(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let mut lines = vec![
        ("SERVER_ROOT", quoted_path(&server.root)?),
        ("MODULES_DIRECTORY", quoted_path(&server.modules)?),
        ("WORKING_DIRECTORY", quoted_path(&server.working_directory)?),
        (
            "LISTENER_HOST",
            quoted(options.listener.host.as_deref().unwrap_or(""))?,
        ),
        ("HTTP_PORT", options.listener.port.to_string()),
    ];
    if let Some(port) = options.tls.https_port {
        lines.push(("HTTPS_PORT", port.to_string()));
    }
    if let Some(identity) = &server.identity {
        lines.push(("USER", quoted(&identity.user)?));
        lines.push(("GROUP", quoted(&identity.group)?));
    }
    let line = |(name, value)| format!("Define MOD_WSGI_{name} {value}\n");
    Ok(lines.into_iter().map(line).collect())
}

/// How many children and threads Apache has. In embedded mode they are the application's; else
/// there are more than the daemons', so that a request waits in their queue and not for Apache.
pub fn pool(options: &ServerOptions) -> String {
    let pool = &options.pool;
    let processes = pool.processes.unwrap_or(1);
    let at_once = processes.saturating_mul(pool.threads);
    let (children, threads) = if options.app.embedded_mode {
        (processes, pool.threads)
    } else {
        let usual = 10 + (at_once.saturating_mul(3).div_ceil(2)).clamp(10, 19_990);
        let clients = pool.max_clients.unwrap_or(usual);
        let children = clients.div_ceil(THREADS_PER_CHILD);
        (children, clients.div_ceil(children))
    };
    let workers = children.saturating_mul(threads);
    let spare = Spare::of(pool, workers);
    if pool.mpm == Mpm::Prefork {
        let start = part(pool.initial_workers, workers).unwrap_or(workers.min(5));
        let (least, most) = (spare.least, spare.most.unwrap_or(workers));
        return format!(
            "ServerLimit {workers}\nStartServers {start}\nMinSpareServers {least}\n\
             MaxSpareServers {most}\nMaxRequestWorkers {workers}\nMaxConnectionsPerChild 0"
        );
    }
    // Twice the children, so that those of the last configuration can end their connections.
    let limit = children.saturating_mul(2);
    let start = part(pool.initial_workers, children).unwrap_or(children);
    let most = spare.most.unwrap_or(workers).saturating_add(threads);
    let least = spare.least;
    format!(
        "ServerLimit {limit}\nStartServers {start}\nThreadLimit {threads}\n\
         ThreadsPerChild {threads}\nMinSpareThreads {least}\nMaxSpareThreads {most}\n\
         MaxRequestWorkers {workers}\nMaxConnectionsPerChild 0"
    )
}

/// How many idle workers there are.
struct Spare {
    least: u32,
    /// All of them, if nothing was said.
    most: Option<u32>,
}

impl Spare {
    fn of(pool: &PoolOptions, workers: u32) -> Self {
        let least = part(pool.minimum_spare_workers, workers).unwrap_or(1);
        let most = part(pool.maximum_spare_workers, workers);
        Spare {
            least,
            most: most.map(|most| most.max(least)),
        }
    }
}

/// That part of `whole`, at least one.
fn part(fraction: Option<f64>, whole: u32) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a u32 is one"
    )]
    fraction.map(|fraction| ((f64::from(whole) * fraction).ceil() as u32).max(1))
}

/// Whether and how long connections are kept.
pub fn keep_alive(listener: &ListenerOptions) -> String {
    match listener.keep_alive_timeout {
        0 => "KeepAlive Off".to_owned(),
        seconds => format!("KeepAlive On\nKeepAliveTimeout {seconds}"),
    }
}

/// The value of RequestReadTimeout.
pub fn request_read_timeout(pool: &PoolOptions) -> String {
    let phase = |name: &str, first: u32, most: u32, rate: u32| match (first, most) {
        (0, _) => format!("{name}=0"),
        (first, most) if most > first => format!("{name}={first}-{most},MinRate={rate}"),
        (first, 0) => format!("{name}={first},MinRate={rate}"),
        (first, _) => format!("{name}={first}"),
    };
    let header = phase(
        "header",
        pool.header_timeout,
        pool.header_max_timeout,
        pool.header_min_rate,
    );
    let body = phase(
        "body",
        pool.body_timeout,
        pool.body_max_timeout,
        pool.body_min_rate,
    );
    format!("{header} {body}")
}

/// The protocols of connections, if they are not only HTTP/1.
pub fn protocols(options: &ServerOptions) -> String {
    if options.listener.http2 {
        "Protocols h2 h2c http/1.1".to_owned()
    } else {
        String::new()
    }
}
