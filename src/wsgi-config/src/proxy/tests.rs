//! What is believed of whom; every expectation was checked against the running mod_wsgi.

use super::*;

const ALL: &str = "X-Forwarded-For X-Real-IP X-Client-IP X-Forwarded-Host X-Host \
    X-Forwarded-Server X-Forwarded-Port X-Script-Name X-Forwarded-Script-Name X-Forwarded-Proto \
    X-Forwarded-SSL X-Scheme";

struct Front {
    headers: Vec<&'static ProxyHeader>,
    proxies: Option<Vec<Subnet>>,
}

impl Front {
    fn new(headers: &str, proxies: Option<&str>) -> Front {
        let (headers, unknown) = parse_headers("H", headers.as_bytes()).expect("headers");
        assert_eq!(unknown, Vec::<String>::new());
        let proxies = proxies.map(|list| parse_proxies("P", list.as_bytes()).expect("proxies"));
        Front { headers, proxies }
    }

    fn says<'h>(&self, sent: &[(&str, &'h str)]) -> Resolved<'h> {
        let declared = Declared {
            headers: &self.headers,
            proxies: self.proxies.as_deref(),
        };
        resolve(declared, "127.0.0.1".parse().ok(), |name| {
            let found = sent
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_bytes())
        })
    }

    fn client(&self, chain: &str) -> (String, Option<String>) {
        let resolved = self.says(&[("X-Forwarded-For", chain)]);
        (
            resolved.client.map(shown).unwrap_or_default(),
            resolved.chain.as_deref().map(shown),
        )
    }
}

#[test]
fn the_last_declared_header_of_a_category_that_came_is_believed() {
    let sent = [
        ("X-Forwarded-For", "9.9.9.1"),
        ("X-Real-IP", "9.9.9.2"),
        ("X-Forwarded-Host", "first"),
        ("X-Host", "second"),
        ("X-Script-Name", "/at"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-SSL", "off"),
    ];
    let resolved = Front::new(ALL, None).says(&sent);
    assert_eq!(resolved.client, Some(&b"9.9.9.2"[..]));
    assert_eq!(resolved.host, Some(&b"second"[..]));
    assert_eq!(resolved.script_name, Some(&b"/at"[..]));
    assert_eq!(resolved.https, Some(false));
    for (name, hidden) in [
        ("X-Forwarded-For", true),
        ("x-real-ip", false),
        ("X-Client-IP", true),
        ("X-Forwarded-Host", true),
        ("X-Host", false),
        ("X-Forwarded-Proto", true),
        ("X-Other", false),
        ("Host", false),
    ] {
        assert_eq!(resolved.hides(name.as_bytes()), hidden, "{name}");
    }
}

#[test]
fn a_category_that_is_not_declared_is_left_alone() {
    let resolved = Front::new("X-Forwarded-For", None).says(&[("X-Host", "host")]);
    assert_eq!(resolved.host, None);
    assert!(!resolved.hides(b"X-Host"));
    assert!(resolved.hides(b"X-Real-IP"));
}

#[test]
fn nothing_is_believed_of_a_stranger_and_nothing_of_it_is_shown() {
    let front = Front::new("X-Forwarded-For X-Forwarded-Host", Some("10.0.0.0/8"));
    let resolved = front.says(&[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Host", "h")]);
    assert_eq!((resolved.client, resolved.host), (None, None));
    for name in ["X-Forwarded-For", "X-Real-IP", "X-Host"] {
        assert!(resolved.hides(name.as_bytes()), "{name}");
    }
    assert!(!resolved.hides(b"X-Forwarded-Port"));
}

#[test]
fn without_a_list_of_proxies_the_first_entry_of_the_chain_is_the_client() {
    let front = Front::new("X-Forwarded-For", None);
    assert_eq!(front.client("1.1.1.1, 2.2.2.2"), ("1.1.1.1".into(), None));
    assert_eq!(front.client(" ,, 1.1.1.1"), ("1.1.1.1".into(), None));
    assert_eq!(front.client(" , "), (String::new(), None));
}

#[test]
fn with_a_list_the_chain_is_believed_from_its_end() {
    let front = Front::new("x_forwarded_for", Some("127.0.0.1 10.0.0.0/8"));
    for (chain, client, rest) in [
        ("1.1.1.1, 2.2.2.2", "2.2.2.2", "2.2.2.2"),
        ("1.1.1.1, 10.0.0.1", "1.1.1.1", "1.1.1.1, 10.0.0.1"),
        ("1.1.1.1, 10.0.0.1, 2.2.2.2", "2.2.2.2", "2.2.2.2"),
        ("10.0.0.1,10.0.0.2", "10.0.0.1", "10.0.0.1, 10.0.0.2"),
        (",1.1.1.1,, 10.0.0.1,", "1.1.1.1", "1.1.1.1, 10.0.0.1"),
        ("1.1.1.1, 3.3.3.3, 10.0.0.1", "3.3.3.3", "3.3.3.3, 10.0.0.1"),
        ("junk, 10.0.0.1", "junk", "junk, 10.0.0.1"),
    ] {
        assert_eq!(
            front.client(chain),
            (client.into(), Some(rest.into())),
            "{chain}"
        );
    }
    assert_eq!(front.client(","), (String::new(), None));
}

#[test]
fn networks_are_written_as_in_require_ip() {
    for (network, inside, outside) in [
        ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.0.0/255.255.0.0", "10.1.9.9", "10.2.0.0"),
        ("172.16.", "172.16.4.4", "172.17.0.1"),
        ("10", "10.3.4.5", "9.0.0.1"),
        ("0.0.0.0/0", "8.8.8.8", "::1"),
        ("::1", "::1", "::2"),
        ("2001:db8::/32", "2001:db8:1::", "2001:db9::"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
    ] {
        let subnet = Subnet::parse(network).expect(network);
        assert!(
            subnet.contains(inside.parse().expect("an address")),
            "{network} {inside}"
        );
        assert!(
            !subnet.contains(outside.parse().expect("an address")),
            "{network} {outside}"
        );
    }
    for wrong in [
        "",
        "host",
        "10.0.0.0/33",
        "::1/129",
        "1.2.3.4.5",
        "300.1",
        "10.0.0.0/x",
        "::/::",
    ] {
        assert_eq!(Subnet::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_word_that_is_no_network_is_named_and_an_unknown_header_is_told() {
    let error = parse_proxies("WSGITrustedProxies", b"10.0.0.1 nowhere").expect_err("a name");
    assert_eq!(
        error.to_string(),
        "WSGITrustedProxies: 'nowhere' is not an IP address or network such as 10.0.0.0/8"
    );
    let (headers, unknown) = parse_headers("H", b"X-Host X-Foo").expect("words");
    assert_eq!((headers.len(), unknown), (1, vec!["X-Foo".to_owned()]));
    assert!(parse_headers("WSGITrustedProxyHeaders", b" ").is_err());
}

#[test]
fn a_chain_that_another_header_outdoes_is_not_shown() {
    let front = Front::new("X-Forwarded-For X-Client-IP", Some("127.0.0.1"));
    let resolved = front.says(&[("X-Forwarded-For", "1.1.1.1"), ("X-Client-IP", "2.2.2.2")]);
    assert_eq!(resolved.client, Some(&b"2.2.2.2"[..]));
    assert_eq!(resolved.chain, None);
    assert!(resolved.hides(b"X-Forwarded-For"));
}

#[test]
fn a_scheme_that_means_nothing_leaves_what_others_said() {
    let front = Front::new("X-Forwarded-Proto X-Forwarded-SSL", None);
    for (flag, https) in [
        ("1", true),
        ("TRUE", true),
        ("On", true),
        ("off", false),
        ("False", false),
        ("0", false),
        ("yes", true),
    ] {
        let sent = [("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-SSL", flag)];
        assert_eq!(front.says(&sent).https, Some(https), "{flag}");
    }
    assert_eq!(front.says(&[("X-Forwarded-Proto", "ftp")]).https, None);
}

#[test]
fn an_application_may_be_at_the_root_for_its_front_end() {
    let front = Front::new("X-Script-Name X-Host", None);
    let resolved = front.says(&[("X-Script-Name", ""), ("X-Host", "")]);
    assert_eq!(
        (resolved.script_name, resolved.host),
        (Some(&b""[..]), None)
    );
}
