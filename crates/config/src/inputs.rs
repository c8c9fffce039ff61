//! What a configuration was read from, so that somebody can tell when to read it again.
//!
//! Content decides, never a time or a size: Kubernetes swaps whole directories through a link, editors write a new
//! file and rename it, and neither means that anything was changed (K-31).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::include::matching;
use crate::load::Environment;

/// The most of one file that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Something that was read, or should have been.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// The names in a directory that fit a pattern.
    Directory {
        /// The directory.
        path: PathBuf,
        /// `*.toml`.
        pattern: String,
    },
    /// A file: of the configuration, with a secret, a certificate, a key or a template.
    File(PathBuf),
}

/// Everything that was read, or should have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(BTreeSet<Input>);

/// A hash of the contents of all [`Inputs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Inputs {
    /// What the inputs hold at this moment. A file that cannot be read is unlike every file that can.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for input in &self.0 {
            match input {
                Input::Directory { path, pattern } => {
                    hash.update(b"directory");
                    let (found, _) = matching(path, pattern).unwrap_or_default();
                    for path in found {
                        hash.update(Sha256::digest(path.as_os_str().as_encoded_bytes()));
                    }
                }
                Input::File(path) => {
                    hash.update(b"file");
                    match content(path) {
                        Ok(content) => hash.update(Sha256::digest(content)),
                        Err(_) => hash.update(b"unreadable"),
                    }
                }
            }
        }
        Fingerprint(hash.finalize().into())
    }

    /// The directories in which a change of an input shows itself: where each stands, and where it really is.
    #[must_use]
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories = BTreeSet::new();
        for input in &self.0 {
            match input {
                Input::Directory { path, .. } => {
                    directories.insert(or_here(path));
                }
                Input::File(path) => {
                    let real = path.canonicalize().ok();
                    let parents = [Some(path.as_path()), real.as_deref()];
                    let parents = parents.into_iter().flatten().filter_map(Path::parent);
                    directories.extend(parents.map(or_here));
                }
            }
        }
        directories
    }

    /// The files among them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|input| match input {
            Input::Directory { .. } => None,
            Input::File(path) => Some(path.as_path()),
        })
    }

    /// These and `others`.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().cloned());
        self
    }
}

fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// A name without a directory is in the working directory.
fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// An environment that keeps what is read.
pub struct Recording<'a> {
    environment: &'a dyn Environment,
    inputs: RefCell<Inputs>,
}

impl std::fmt::Debug for Recording<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recording").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl<'a> Recording<'a> {
    /// The same environment; nothing was read yet.
    #[must_use]
    pub fn of(environment: &'a dyn Environment) -> Self {
        Self { environment, inputs: RefCell::default() }
    }

    /// What was read.
    #[must_use]
    pub fn inputs(self) -> Inputs {
        self.inputs.into_inner()
    }
}

impl Environment for Recording<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.environment.variable(name)
    }

    fn reads(&self, input: Input) {
        self.inputs.borrow_mut().0.insert(input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{ProcessEnvironment, Source, load};

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lychgate-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const MAIN: &str = r#"
include = ["conf.d/*.toml"]
[listeners.web]
address = "127.0.0.1:8443"
tls     = { certificate = "tls.crt", key = "tls.key" }
[providers.corp]
issuer        = "https://id.example.com"
client_id     = "gate"
client_secret = { file = "secret" }
[pages]
templates = "pages"
"#;

    fn read(main: &Path) -> Inputs {
        let recording = Recording::of(&ProcessEnvironment);
        let _ = load(&[Source::Path(main.to_owned())], &recording);
        recording.inputs()
    }

    /// K-31, K-32: every file that counts is known, also while it is missing or the configuration is wrong.
    #[test]
    fn whatever_is_read_is_known_and_its_content_decides() {
        let directory = Directory::new("inputs");
        std::fs::create_dir_all(directory.0.join("conf.d")).unwrap();
        std::fs::create_dir_all(directory.0.join("pages")).unwrap();
        let main = directory.write("lychgate.toml", MAIN);
        directory.write("pages/style.css", "");
        let inputs = read(&main);
        let names = ["lychgate.toml", "tls.crt", "tls.key", "secret", "pages/style.css"];
        for name in names {
            assert!(inputs.files().any(|file| file.ends_with(name)), "{name}: {inputs:?}");
        }
        assert!(inputs.directories().contains(&directory.0));
        assert!(inputs.directories().contains(&directory.0.join("conf.d")));

        let mut seen = vec![inputs.fingerprint()];
        for name in names {
            directory.write(name, "changed");
            seen.push(inputs.fingerprint());
        }
        for name in ["conf.d/10-app.toml", "pages/refusal.html"] {
            directory.write(name, "");
            seen.push(inputs.fingerprint());
        }
        for (at, one) in seen.iter().enumerate() {
            assert!(!seen[at + 1..].contains(one), "{at}");
        }
        directory.write("conf.d/10-app.toml~", "a leftover");
        directory.write("other", "somebody else's");
        assert_eq!(inputs.fingerprint(), seen[seen.len() - 1]);
    }
}
