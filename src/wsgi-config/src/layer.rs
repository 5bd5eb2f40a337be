//! A setting that may be unset, so that a narrower scope can be laid over a wider one.
//!
//! Records of settings are merged by httpd in its parent, and in a child for `.htaccess` and
//! nested sections; they are read on the request path. Merging is mechanical: the inner scope wins
//! where it says something, and "says the default" differs from "says nothing".

/// A value of one scope, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<T>(Option<T>);

impl<T: Copy> Setting<T> {
    /// The scope says nothing.
    pub const UNSET: Self = Setting(None);

    /// The scope says `value`.
    pub const fn to(value: T) -> Self {
        Setting(Some(value))
    }

    /// Says `value` in this scope; the last directive of a scope wins.
    pub fn set(&mut self, value: T) {
        self.0 = Some(value);
    }

    /// This scope laid over the one around it.
    #[must_use]
    pub fn over(self, outer: Self) -> Self {
        Setting(self.0.or(outer.0))
    }

    /// What the scope says, if anything.
    pub fn value(self) -> Option<T> {
        self.0
    }

    /// What the scope says, else the directive's default.
    pub fn or(self, default: T) -> T {
        self.0.unwrap_or(default)
    }
}

impl<T: Copy> Default for Setting<T> {
    fn default() -> Self {
        Self::UNSET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_scope_wins_where_it_says_something() {
        let outer = Setting::to(true);
        assert!(!Setting::to(false).over(outer).or(true));
        assert!(Setting::UNSET.over(outer).or(false));
        assert!(Setting::<bool>::default().over(Setting::UNSET).or(true));
    }

    #[test]
    fn the_last_value_of_a_scope_counts() {
        let mut setting = Setting::UNSET;
        assert_eq!(setting.value(), None);
        setting.set(1);
        setting.set(2);
        assert_eq!(setting.value(), Some(2));
    }
}
