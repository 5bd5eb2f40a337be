//! The interpreter directives: what holds for which interpreter, and how their arguments are read.
//!
//! Runs in httpd's parent while the configuration is read. Each directive is a [`Rule`]: at the top
//! level it holds for every interpreter, inside `<WSGIInterpreterOptions>` for those the section
//! selects. Which of them an application group gets is decided in its process, where its name is
//! known; here they are only chosen and ordered for a process group.

use crate::alias::{option_of, words_of};
use crate::error::{OptionError, shown};
use crate::group::translate_global;

const SECTION: &str = "WSGIInterpreterOptions";

/// The longest switch interval, seconds: far beyond any use, and safe in every Python.
const LONGEST_INTERVAL: f64 = 3600.0;

/// Which interpreters a rule is about; what is absent selects every name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The process group; empty for embedded mode.
    pub process_group: Option<Vec<u8>>,
    /// The application group; empty for the main interpreter.
    pub application_group: Option<Vec<u8>>,
}

impl Selector {
    /// The interpreters of one process group.
    pub fn of_process_group(name: &[u8]) -> Self {
        Selector {
            process_group: Some(name.to_vec()),
            application_group: None,
        }
    }

    /// How many names it gives: the more, the more it counts.
    fn specificity(&self) -> usize {
        usize::from(self.process_group.is_some()) + usize::from(self.application_group.is_some())
    }
}

/// What one directive says; everything else is left to other rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// WSGIPythonPath: directories that are added to what other rules say.
    PythonPath(Vec<Vec<u8>>),
    /// WSGISwitchInterval, microseconds.
    SwitchInterval(u64),
    /// WSGIPerInterpreterGIL.
    OwnGil(bool),
    /// WSGIFreeThreading.
    FreeThreading(bool),
    /// WSGIRestrictStdin.
    RestrictStdin(bool),
    /// WSGIRestrictStdout.
    RestrictStdout(bool),
    /// WSGIRestrictSignal.
    RestrictSignal(bool),
}

/// A setting and where it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The interpreters.
    pub selector: Selector,
    /// What holds for them.
    pub setting: Setting,
}

/// The rules for the interpreters of a process group, the ones that count more later: those with
/// more selectors, and of equals those that were written later.
pub fn rules_of<'r>(rules: &'r [Rule], process_group: &[u8]) -> Vec<&'r Rule> {
    let selected = |rule: &&Rule| {
        let wanted = rule.selector.process_group.as_deref();
        wanted.is_none_or(|name| name == process_group)
    };
    let mut chosen: Vec<&Rule> = rules.iter().filter(selected).collect();
    chosen.sort_by_key(|rule| rule.selector.specificity());
    chosen
}

/// Reads `[process-group=X] [application-group=Y]>`, the arguments of the section.
pub fn parse_section(args: &[u8]) -> Result<Selector, OptionError> {
    let args = args.trim_ascii_end();
    let args = args
        .strip_suffix(b">")
        .ok_or_else(|| OptionError::Missing {
            directive: SECTION.to_owned(),
            argument: "the '>' at the end of the line",
        })?;
    let mut selector = Selector::default();
    for word in words_of(SECTION, args)? {
        let (name, value) = option_of(SECTION, &word)?;
        let (option, slot) = match name {
            b"process-group" => ("process-group", &mut selector.process_group),
            b"application-group" => ("application-group", &mut selector.application_group),
            _ => {
                return Err(OptionError::Unknown {
                    directive: SECTION.to_owned(),
                    option: shown(name),
                });
            }
        };
        let expected = match (value.is_empty(), slot.is_some()) {
            (true, _) => "a name or %{GLOBAL}",
            (_, true) => "only one of them",
            _ => {
                *slot = Some(translate_global(value));
                continue;
            }
        };
        return Err(OptionError::Value {
            directive: SECTION.to_owned(),
            option,
            value: shown(value),
            expected,
        });
    }
    Ok(selector)
}

/// The directory under which a Python's `bin` lies. Of `prefix:exec_prefix`, as PYTHONHOME has it,
/// that is the second: it holds what depends on the machine, and its interpreter knows the first.
pub fn parse_home(value: &[u8]) -> Option<&[u8]> {
    let mut parts = value.split(|byte| *byte == b':');
    let home = parts.next_back()?;
    let more = parts.count();
    (home.starts_with(b"/") && more <= 1).then_some(home)
}

/// A switch interval in seconds, as microseconds.
pub fn parse_interval(value: &[u8]) -> Option<u64> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let right = seconds > 0.0 && seconds <= LONGEST_INTERVAL;
    right.then(|| ((seconds * 1e6) as u64).max(1))
}

/// A hash seed as Python's variable PYTHONHASHSEED takes it: `random`, or a number of 32 bits.
pub fn parse_hash_seed(value: &[u8]) -> Option<Vec<u8>> {
    if value.eq_ignore_ascii_case(b"random") {
        return Some(b"random".to_vec());
    }
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = digits.then(|| shown(value).parse::<u32>().ok()).flatten()?;
    Some(number.to_string().into_bytes())
}

/// A level of optimisation: 0, 1 or 2.
pub fn parse_optimize(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'0'..=b'2'] => Some(digit - b'0'),
        _ => None,
    }
}

/// The directories of a list that is separated by `:`.
pub fn parse_path(value: &[u8]) -> Vec<Vec<u8>> {
    value
        .split(|byte| *byte == b':')
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(args: &str, interval: u64) -> Rule {
        Rule {
            selector: parse_section(format!("{args}>").as_bytes()).expect("accepted"),
            setting: Setting::SwitchInterval(interval),
        }
    }

    fn intervals(rules: &[Rule], process_group: &str) -> Vec<u64> {
        rules_of(rules, process_group.as_bytes())
            .iter()
            .map(|rule| match rule.setting {
                Setting::SwitchInterval(interval) => interval,
                _ => 0,
            })
            .collect()
    }

    fn refused(args: &str) -> String {
        parse_section(args.as_bytes())
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn more_selectors_count_more_and_of_equals_the_later_rule() {
        let rules = [
            rule("process-group=a application-group=x", 1),
            rule("", 2),
            rule("application-group=x", 3),
            rule("process-group=a", 4),
            rule("", 5),
        ];
        assert_eq!(intervals(&rules, "a"), [2, 5, 3, 4, 1]);
        assert_eq!(intervals(&rules, "b"), [2, 5, 3]);
    }

    #[test]
    fn global_selects_embedded_mode_and_the_main_interpreter() {
        let section = parse_section(b"process-group=%{GLOBAL} application-group='%{GLOBAL}' >");
        let selector = section.expect("accepted");
        assert_eq!(selector.process_group.as_deref(), Some(&b""[..]));
        assert_eq!(selector.application_group.as_deref(), Some(&b""[..]));
        let rules = [rule("process-group=%{GLOBAL}", 1)];
        assert_eq!(intervals(&rules, ""), [1]);
        assert!(intervals(&rules, "a").is_empty());
    }

    #[test]
    fn a_wrong_section_is_refused_with_what_is_wrong() {
        for (args, sentence) in [
            (
                "process-group=a",
                "the '>' at the end of the line is required",
            ),
            ("fast>", "'fast' is not an option of the form name=value"),
            ("threads=3>", "unknown option 'threads'"),
            (
                "process-group=>",
                "invalid value '' for option 'process-group': a name or %{GLOBAL} is expected",
            ),
            (
                "process-group=a process-group=b>",
                "invalid value 'b' for option 'process-group': only one of them is expected",
            ),
        ] {
            assert_eq!(refused(args), format!("WSGIInterpreterOptions: {sentence}"));
        }
    }

    #[test]
    fn of_a_home_in_two_parts_the_second_has_the_interpreter() {
        assert_eq!(parse_home(b"/srv/venv"), Some(&b"/srv/venv"[..]));
        assert_eq!(parse_home(b"/usr/share:/usr"), Some(&b"/usr"[..]));
        for wrong in ["/usr:", ":", "/usr:lib", "/a:/b:/c", ""] {
            assert_eq!(parse_home(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_a_positive_number_of_seconds() {
        assert_eq!(parse_interval(b"0.005"), Some(5000));
        assert_eq!(parse_interval(b"1"), Some(1_000_000));
        assert_eq!(parse_interval(b"1e-9"), Some(1));
        for wrong in ["0", "-1", "soon", "", "nan", "inf", "1e300"] {
            assert_eq!(parse_interval(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_hash_seed_is_random_or_a_number_of_32_bits() {
        assert_eq!(parse_hash_seed(b"Random"), Some(b"random".to_vec()));
        assert_eq!(parse_hash_seed(b"0042"), Some(b"42".to_vec()));
        assert_eq!(parse_hash_seed(b"4294967295"), Some(b"4294967295".to_vec()));
        for wrong in ["", "-1", "+1", "4294967296", "x"] {
            assert_eq!(parse_hash_seed(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_level_of_optimisation_is_one_digit_up_to_two() {
        assert_eq!(parse_optimize(b"2"), Some(2));
        for wrong in ["", "3", "-1", "12", "on"] {
            assert_eq!(parse_optimize(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
