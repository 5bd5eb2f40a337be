//! The URL prefixes of many aliases, as a tree of path components: which alias takes a URL, in a time
//! that depends on the URL's components and hardly on how many aliases there are.
//!
//! Filled while the configuration is read; looked at in Apache children on every request, whoever it
//! is for, so a look allocates nothing. What matches is what [`match_prefix`] says, and of those that
//! match the one that was added first counts, as if they were tried one after the other.
//!
//! [`match_prefix`]: crate::alias::match_prefix

/// Which alias a prefix belongs to: its place in the order in which aliases are tried.
type Rank = usize;

/// The prefixes.
#[derive(Debug, Default)]
pub struct Prefixes {
    root: Node,
}

/// What is known about a path: here about the empty one, below about those that go on.
#[derive(Debug, Default)]
struct Node {
    /// The first alias that ends with this component.
    whole: Option<Rank>,
    /// The first alias that ends with a slash after this component.
    open: Option<Rank>,
    /// The components that may follow, in the order of their bytes.
    children: Vec<(Box<[u8]>, Node)>,
}

impl Prefixes {
    /// Adds the prefix of the alias `rank`; ranks are added in ascending order.
    pub fn add(&mut self, prefix: &[u8], rank: Rank) {
        // A URL begins with a slash, so nothing else is ever the beginning of one.
        if prefix.first() != Some(&b'/') {
            return;
        }
        let mut node = &mut self.root;
        for component in components(prefix) {
            node = node.child_to_be(component);
        }
        let place = if prefix.ends_with(b"/") {
            &mut node.open
        } else {
            &mut node.whole
        };
        place.get_or_insert(rank);
    }

    /// The first alias whose prefix matches `uri`, which begins with a slash.
    pub fn first_match(&self, uri: &[u8]) -> Option<Rank> {
        let mut node = &self.root;
        // `/` takes every URL.
        let mut best = node.open;
        let mut rest = uri;
        while let Some(start) = rest.iter().position(|&byte| byte != b'/') {
            let component = &rest[start..];
            let end = component.iter().position(|&byte| byte == b'/');
            let (component, after) = component.split_at(end.unwrap_or(component.len()));
            let Some(next) = node.child(component) else {
                break;
            };
            node = next;
            best = earlier(best, node.whole);
            if !after.is_empty() {
                best = earlier(best, node.open);
            }
            rest = after;
        }
        best
    }
}

impl Node {
    fn find(&self, component: &[u8]) -> Result<usize, usize> {
        self.children
            .binary_search_by(|(known, _)| (**known).cmp(component))
    }

    fn child(&self, component: &[u8]) -> Option<&Node> {
        let at = self.find(component).ok()?;
        Some(&self.children[at].1)
    }

    fn child_to_be(&mut self, component: &[u8]) -> &mut Node {
        let at = self.find(component).unwrap_or_else(|at| {
            self.children
                .insert(at, (component.into(), Node::default()));
            at
        });
        &mut self.children[at].1
    }
}

fn earlier(one: Option<Rank>, other: Option<Rank>) -> Option<Rank> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = path.split(|&byte| byte == b'/');
    parts.filter(|component| !component.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Prefixes;
    use crate::alias::match_prefix;

    fn of(prefixes: &[impl AsRef<[u8]>]) -> Prefixes {
        let mut tree = Prefixes::default();
        for (rank, prefix) in prefixes.iter().enumerate() {
            tree.add(prefix.as_ref(), rank);
        }
        tree
    }

    #[test]
    fn the_first_of_those_that_match_counts() {
        let tree = of(&["/a/b", "/a", "/", "/a/c", "/late/er"]);
        let found = |uri: &str| tree.first_match(uri.as_bytes());
        assert_eq!(found("/a/b/x"), Some(0));
        assert_eq!(found("/a/c"), Some(1));
        assert_eq!(found("/ab"), Some(2));
        assert_eq!(found("/late/er"), Some(2));
        assert_eq!(of(&["/a"]).first_match(b"/b"), None);
    }

    #[test]
    fn deep_and_long_urls_end_where_no_prefix_goes_on() {
        let prefixes: Vec<String> = (0..1000).map(|number| format!("/app{number}")).collect();
        let tree = of(&prefixes);
        assert_eq!(tree.first_match(b"/app999/x"), Some(999));
        assert_eq!(tree.first_match("/x".repeat(4000).as_bytes()), None);
    }

    proptest! {
        /// Few letters, so that much matches.
        #[test]
        fn the_tree_finds_what_trying_one_after_the_other_does(
            prefixes in prop::collection::vec("[/ab]{0,6}", 0..12),
            uri in "/[/ab]{0,8}",
        ) {
            let tried = prefixes
                .iter()
                .position(|prefix| match_prefix(uri.as_bytes(), prefix.as_bytes()).is_some());
            prop_assert_eq!(of(&prefixes).first_match(uri.as_bytes()), tried);
        }
    }
}
