//! What a Python is like that a home names: where its library is, and what it answers about itself.
//!
//! [`library_of`] runs in an Apache child, as its user, and only looks at files; [`parse_version`] in
//! httpd's parent. Neither may guess: a Python that would not find its standard library ends the process
//! that starts it, so whatever is not as expected is nobody's here, and the executable is asked.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Python that works: major and minor version.
pub const OLDEST: (u32, u32) = (3, 10);

/// The directories of a prefix that hold libraries, the standard library among them.
const LIBRARIES: [&str; 2] = ["lib64", "lib"];

/// Files without which Python does not start, or does not know where it is (CPython, `getpath.py`).
const LANDMARKS: [&str; 2] = ["os.py", "encodings/__init__.py"];

/// The library of the Python that `program` leads to, found where CPython's own `make install`,
/// distributions and environments put it, which saves a child the 10 ms of asking. `None` if anything
/// about it is unusual: another name (as that of a build for free threads), a version that does not work,
/// an environment made from somewhere else, a part that is missing.
pub fn library_of(program: &Path) -> Option<PathBuf> {
    let executable = program.canonicalize().ok()?;
    let version = executable.file_name()?.to_str()?;
    let minor = version.strip_prefix("python3.")?;
    if (3, minor.parse().ok()?) < OLDEST {
        return None;
    }
    let bin = executable.parent()?;
    if environment_of(program).is_some_and(|home| home.as_deref() != Some(bin)) {
        return None;
    }
    let prefix = bin.parent().filter(|_| bin.ends_with("bin"))?;
    let is_whole = |directory: &str| {
        let standard = prefix.join(directory).join(version);
        LANDMARKS.iter().all(|file| standard.join(file).is_file())
    };
    if !LIBRARIES.into_iter().any(is_whole) {
        return None;
    }
    let name = format!("lib{version}.so.1.0");
    let multiarch = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut places = LIBRARIES.into_iter().chain([&*multiarch]);
    places.find_map(|place| Some(prefix.join(place).join(&name)).filter(|path| path.is_file()))
}

/// Where the Python lies that the environment of `program` was made from, if it is of one (PEP 405) and
/// its file says so.
fn environment_of(program: &Path) -> Option<Option<PathBuf>> {
    let bin = program.parent()?;
    let beside = [Some(bin), bin.parent()].into_iter().flatten();
    let mut files = beside.map(|directory| directory.join("pyvenv.cfg"));
    // One that cannot be read says nothing, which is unusual.
    let text = fs::read_to_string(files.find(|file| file.exists())?).unwrap_or_default();
    let home = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("home")
            .then(|| value.trim())
    });
    Some(home.and_then(|home| Path::new(OsStr::new(home)).canonicalize().ok()))
}

/// Version and flags of the build from an answer such as `3.13 t!`; `None` unless it is whole.
pub fn parse_version(answer: &str) -> Option<((u32, u32), &str)> {
    let (version, flags) = answer.strip_suffix('!')?.split_once(' ')?;
    let (major, minor) = version.split_once('.')?;
    Some(((major.parse().ok()?, minor.parse().ok()?), flags))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A prefix with a Python of that version in it, whose files are empty.
    struct Prefix(PathBuf);

    impl Prefix {
        fn new(name: &str, version: &str) -> Prefix {
            let directory = format!("wsgi-layout-{}-{name}", std::process::id());
            let prefix = Prefix(std::env::temp_dir().join(directory));
            for file in LANDMARKS {
                prefix.write(&format!("lib/{version}/{file}"), "");
            }
            prefix.write(&format!("bin/{version}"), "");
            prefix.write(&format!("lib/lib{version}.so.1.0"), "");
            symlink(version, prefix.path("bin/python")).expect("ours");
            prefix
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("ours");
            fs::write(path, text).expect("ours");
        }

        fn found(&self) -> Option<PathBuf> {
            library_of(&self.path("bin/python"))
        }
    }

    impl Drop for Prefix {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_prefix_has_its_library_in_one_of_the_usual_places() {
        let prefix = Prefix::new("usual", "python3.11");
        let library = prefix.path("lib/libpython3.11.so.1.0");
        assert_eq!(prefix.found(), Some(library.canonicalize().expect("ours")));
        let debian = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
        let debian = prefix.path(&debian);
        fs::create_dir_all(&debian).expect("ours");
        fs::rename(&library, debian.join("libpython3.11.so.1.0")).expect("ours");
        assert!(
            prefix
                .found()
                .is_some_and(|found| found.starts_with(&debian))
        );
    }

    #[test]
    fn an_environment_has_the_library_of_the_python_it_was_made_from() {
        let prefix = Prefix::new("base", "python3.12");
        let venv = Prefix::new("venv", "python3.13");
        fs::remove_file(venv.path("bin/python")).expect("ours");
        symlink(prefix.path("bin/python"), venv.path("bin/python")).expect("ours");
        venv.write(
            "pyvenv.cfg",
            &format!(
                "version = 3.12.1\nHome = {}\n",
                prefix.path("bin").display()
            ),
        );
        assert_eq!(venv.found(), prefix.found());
        for elsewhere in [
            "home = /usr/local/bin\n",
            "home = /no/such\n",
            "version = 3.12\n",
        ] {
            venv.write("pyvenv.cfg", elsewhere);
            assert_eq!(venv.found(), None, "{elsewhere}");
        }
        fs::write(venv.path("pyvenv.cfg"), b"home = \xff\n").expect("ours");
        assert_eq!(venv.found(), None, "bytes that are no text");
    }

    #[test]
    fn a_python_that_is_unusual_in_any_way_is_not_recognised() {
        for name in ["python3.9", "python3.13t", "python4.0", "pypy3.10"] {
            assert_eq!(Prefix::new(name, name).found(), None, "{name}");
        }
        for missing in [
            "lib/python3.11/os.py",
            "lib/python3.11/encodings/__init__.py",
            "lib/libpython3.11.so.1.0",
        ] {
            let prefix = Prefix::new("lacking", "python3.11");
            fs::remove_file(prefix.path(missing)).expect("ours");
            assert_eq!(prefix.found(), None, "{missing}");
        }
        let script = Prefix::new("script", "python3.11");
        fs::remove_file(script.path("bin/python")).expect("ours");
        script.write("bin/python", "#!/bin/sh\nexec python3.11 \"$@\"\n");
        assert_eq!(script.found(), None);
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        assert_eq!(parse_version("3.13 t!"), Some(((3, 13), "t")));
        assert_eq!(parse_version("2.7 !"), Some(((2, 7), "")));
        for answer in ["", "3.11", "3.11 ", "3.11!", "x.1 !", "3.11 \n"] {
            assert_eq!(parse_version(answer), None, "{answer}");
        }
    }
}
