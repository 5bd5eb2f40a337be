//! WSGITrustedProxies and WSGITrustedProxyHeaders: what a front end says about the request it passes
//! on, and from whom that is believed.
//!
//! Lists are read while the configuration is read; [`resolve`] runs in Apache children on the request
//! path, for requests whose scope declares headers only.

use std::net::IpAddr;

use crate::error::{OptionError, shown};
use crate::words;

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The chain of addresses that a request came through, the client first.
    Chain,
    Client,
    Host,
    Server,
    Port,
    ScriptName,
    /// `http` or `https`.
    Scheme,
    /// Whether the client used TLS: `on`, `true` or `1`.
    SchemeFlag,
}

/// A header that can be declared.
#[derive(Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    name: &'static str,
    kind: Kind,
}

/// Headers of one category contradict each other, so only one of them is believed.
const CATEGORIES: usize = 6;

impl ProxyHeader {
    /// The header of this name, in any case and with `_` for `-`.
    pub fn named(name: &[u8]) -> Option<&'static ProxyHeader> {
        HEADERS.iter().find(|header| header.is_named(name))
    }

    fn is_named(&self, name: &[u8]) -> bool {
        let plain = |byte: &u8| match byte {
            b'_' => b'-',
            other => other.to_ascii_lowercase(),
        };
        let own = self.name.bytes().map(|byte| byte.to_ascii_lowercase());
        name.len() == self.name.len() && name.iter().map(plain).eq(own)
    }

    fn category(&self) -> usize {
        match self.kind {
            Kind::Chain | Kind::Client => 0,
            Kind::Host => 1,
            Kind::Server => 2,
            Kind::Port => 3,
            Kind::ScriptName => 4,
            Kind::Scheme | Kind::SchemeFlag => 5,
        }
    }
}

macro_rules! headers {
    ($($name:literal $kind:ident;)*) => {
        /// Every header that can be declared.
        pub const HEADERS: &[ProxyHeader] = &[$(ProxyHeader { name: $name, kind: Kind::$kind }),*];
    };
}

headers! {
    "X-Forwarded-For" Chain;
    "X-Client-IP" Client;
    "X-Real-IP" Client;
    "X-Forwarded-Host" Host;
    "X-Host" Host;
    "X-Forwarded-Server" Server;
    "X-Forwarded-Port" Port;
    "X-Script-Name" ScriptName;
    "X-Forwarded-Script-Name" ScriptName;
    "X-Forwarded-Proto" Scheme;
    "X-Forwarded-Scheme" Scheme;
    "X-Scheme" Scheme;
    "X-Forwarded-SSL" SchemeFlag;
    "X-Forwarded-HTTPS" SchemeFlag;
    "X-HTTPS" SchemeFlag;
}

/// Addresses whose first bits are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    bits: u128,
    mask: u128,
}

impl Subnet {
    /// Reads `address`, `address/bits`, `address/mask` or the first one to three numbers of an IPv4
    /// network, as `Require ip` does.
    fn parse(text: &str) -> Option<Subnet> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return partial(text);
        };
        let (width, shift) = match address {
            IpAddr::V4(_) => (32_u32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let mask = match mask {
            None => u128::MAX,
            Some(mask) => match mask.parse::<u32>() {
                Ok(length) if length <= width => first_bits(length + shift),
                Ok(_) => return None,
                Err(_) => wide(mask.parse::<IpAddr>().ok().filter(|_| width == 32)?),
            },
        };
        Some(Subnet {
            bits: wide(address) & mask,
            mask,
        })
    }

    /// Whether the address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        wide(address) & self.mask == self.bits
    }
}

/// `10.`, `10.1`, `10.1.2`: whole bytes of an IPv4 network.
fn partial(text: &str) -> Option<Subnet> {
    let numbers: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    if numbers.len() > 3 {
        return None;
    }
    let mut bytes = [0_u8; 4];
    for (byte, number) in bytes.iter_mut().zip(&numbers) {
        *byte = number.parse().ok()?;
    }
    let mask = first_bits(96 + 8 * numbers.len() as u32);
    Some(Subnet {
        bits: wide(IpAddr::from(bytes)) & mask,
        mask,
    })
}

/// IPv4 addresses are the IPv6 addresses that stand for them, since a socket may show them as either.
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn first_bits(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

/// Reads the names of headers. The second list is of words that name none of [`HEADERS`].
pub fn parse_headers(
    directive: &str,
    args: &[u8],
) -> Result<(Vec<&'static ProxyHeader>, Vec<String>), OptionError> {
    let mut headers = Vec::new();
    let mut unknown = Vec::new();
    for word in words_of(directive, args, "the name of a header")? {
        match ProxyHeader::named(&word) {
            Some(header) => headers.push(header),
            None => unknown.push(shown(&word)),
        }
    }
    Ok((headers, unknown))
}

/// Reads addresses and networks.
pub fn parse_proxies(directive: &str, args: &[u8]) -> Result<Vec<Subnet>, OptionError> {
    let words = words_of(directive, args, "an IP address or network")?;
    let subnet = |word: &Vec<u8>| {
        let parsed = std::str::from_utf8(word).ok().and_then(Subnet::parse);
        parsed.ok_or_else(|| OptionError::Argument {
            directive: directive.to_owned(),
            value: shown(word),
            expected: "an IP address or network such as 10.0.0.0/8",
        })
    };
    words.iter().map(subnet).collect()
}

fn words_of(
    directive: &str,
    args: &[u8],
    argument: &'static str,
) -> Result<Vec<Vec<u8>>, OptionError> {
    let directive = || directive.to_owned();
    let words = words::split(args).map_err(|source| OptionError::Words {
        directive: directive(),
        source,
    })?;
    if words.is_empty() {
        return Err(OptionError::Missing {
            directive: directive(),
            argument,
        });
    }
    Ok(words)
}

/// What a scope declares.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'d> {
    /// The headers, in order: of those of one category that came the last is believed.
    pub headers: &'d [&'static ProxyHeader],
    /// Who is believed; `None` for everybody.
    pub proxies: Option<&'d [Subnet]>,
}

/// What the request's front end says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved<'h> {
    /// The client's address.
    pub client: Option<&'h [u8]>,
    /// What is left of X-Forwarded-For where only its end can be believed.
    pub chain: Option<Vec<u8>>,
    /// The host the client asked for.
    pub host: Option<&'h [u8]>,
    /// The server's name.
    pub server: Option<&'h [u8]>,
    /// The server's port.
    pub port: Option<&'h [u8]>,
    /// The path at which the client sees the application.
    pub script_name: Option<&'h [u8]>,
    /// Whether the client used TLS.
    pub https: Option<bool>,
    /// Per category: whether it is declared, and the header that is believed.
    categories: [Option<Option<&'static str>>; CATEGORIES],
}

impl Resolved<'_> {
    /// Whether the application must not see this header: another of its category is believed, or none.
    pub fn hides(&self, name: &[u8]) -> bool {
        if !name
            .first()
            .is_some_and(|byte| byte.eq_ignore_ascii_case(&b'x'))
        {
            return false;
        }
        let Some(header) = ProxyHeader::named(name) else {
            return false;
        };
        matches!(self.categories[header.category()], Some(winner) if winner != Some(header.name))
    }
}

/// Decides what is believed; `value` gives the request's headers, `peer` is who sent it.
pub fn resolve<'h>(
    declared: Declared<'_>,
    peer: Option<IpAddr>,
    value: impl Fn(&str) -> Option<&'h [u8]>,
) -> Resolved<'h> {
    let mut resolved = Resolved::default();
    let is_proxy = |address: IpAddr| {
        let proxies = declared.proxies.unwrap_or_default();
        proxies.iter().any(|subnet| subnet.contains(address))
    };
    let trusted = declared.proxies.is_none() || peer.is_some_and(is_proxy);
    for header in declared.headers {
        let winner = resolved.categories[header.category()].get_or_insert(None);
        // Nobody has an empty address, but a front end may serve an application at its root.
        let speaks = |said: &&[u8]| !said.is_empty() || header.kind == Kind::ScriptName;
        let Some(said) = value(header.name).filter(|said| trusted && speaks(said)) else {
            continue;
        };
        *winner = Some(header.name);
        match header.kind {
            Kind::Chain if declared.proxies.is_some() => {
                if let Some((client, rest)) = believed(said, is_proxy) {
                    resolved.client = Some(client);
                    resolved.chain = Some(rest);
                }
            }
            Kind::Chain => resolved.client = entries(said).next().or(resolved.client),
            Kind::Client => (resolved.client, resolved.chain) = (Some(said), None),
            Kind::Host => resolved.host = Some(said),
            Kind::Server => resolved.server = Some(said),
            Kind::Port => resolved.port = Some(said),
            Kind::ScriptName => resolved.script_name = Some(said),
            Kind::Scheme => resolved.https = one_of(said, "https", "http").or(resolved.https),
            Kind::SchemeFlag => resolved.https = flag_of(said).or(resolved.https),
        }
    }
    resolved
}

/// Whether a header is On or Off, in any of the words for it.
fn flag_of(value: &[u8]) -> Option<bool> {
    let words = [("on", "off"), ("true", "false"), ("1", "0")];
    words.iter().find_map(|(on, off)| one_of(value, on, off))
}

fn one_of(value: &[u8], yes: &str, no: &str) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    is(yes).then_some(true).or(is(no).then_some(false))
}

/// The entries of a chain but the empty ones.
fn entries(chain: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    chain
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
}

/// The client of a chain and the chain from it on. Each proxy appends whom it got the request from,
/// so the last entry that is no proxy of ours is the last that was not made up by its sender.
fn believed(chain: &[u8], is_proxy: impl Fn(IpAddr) -> bool) -> Option<(&[u8], Vec<u8>)> {
    let known = |entry: &[u8]| {
        let address = std::str::from_utf8(entry)
            .ok()
            .and_then(|text| text.parse().ok());
        address.is_some_and(&is_proxy)
    };
    let entries: Vec<&[u8]> = entries(chain).collect();
    let at = entries.iter().rposition(|entry| !known(entry)).unwrap_or(0);
    Some((entries.get(at)?, entries[at..].join(&b", "[..])))
}

#[cfg(test)]
#[path = "proxy/tests.rs"]
mod tests;
