//! Secrets: where they are kept, and how they are fetched from there.
//!
//! A secret is written as `{ file = "…" }`, `{ env = "…" }` or `{ credential = "…" }`. A literal text
//! works too, with a warning, and only in a file that others cannot read. Nobody here shows one.
//!
//! Sources: requirements C-20 to C-24; systemd.exec(5), `LoadCredential=`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lychgate_gateway::seal::Key;
use lychgate_oidc::Secret;

use crate::code::Code;
use crate::context::Context;
use crate::file::Place;
use crate::grammar::{self, SECRET};
use crate::inputs::Input;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::{Node, Table, Value};

/// Whether secrets are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretUse {
    Fetch,
    Leave,
}

/// The longest secret that is read, in bytes. No key or password comes near it, and `/dev/zero` has
/// to end somewhere.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What stands for a secret that was not fetched. It never leaves a check without secrets.
const NOT_FETCHED: &str = "not-fetched";

/// What is printed for a secret that stands in the configuration itself.
pub(crate) const MASKED: &str = "‹literal›";

impl Context<'_> {
    /// The secret at `node`, or a stand-in where secrets are not fetched. `None`: it was said why.
    pub(crate) fn secret(&self, node: &Node, name: &str) -> Option<Secret> {
        self.fetch(node, name).map(|secret| secret.unwrap_or_else(|| Secret::new(NOT_FETCHED)))
    }

    /// The session key at `node`: 32 bytes, in hexadecimal or base64.
    pub(crate) fn session_key(&self, node: &Node, name: &str) -> Option<Key> {
        let Some(secret) = self.fetch(node, name)? else { return Some(Key::new([0; 32])) };
        let help = "write 32 random bytes in base64: `openssl rand -base64 32`";
        let Some(bytes) = decode_key(secret.expose()) else {
            let message = format!("`{name}` is neither hexadecimal nor base64");
            self.add(
                Problem::new(Code::E0304, &node.place, message).label("this secret").help(help),
            );
            return None;
        };
        match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Some(Key::new(bytes)),
            Err(_) => {
                let message = format!("`{name}` has {} bytes and needs 32", bytes.len());
                self.add(
                    Problem::new(Code::E0304, &node.place, message).label("this secret").help(help),
                );
                None
            }
        }
    }

    /// The secret, `Some(None)` if it is kept elsewhere and not fetched, `None` if it was said why.
    fn fetch(&self, node: &Node, name: &str) -> Option<Option<Secret>> {
        match &node.value {
            Value::Text(text) => self.literal(text, &node.place, name).map(Some),
            Value::Table(_) => {
                let reader = self.read(node, &node.place, name, &SECRET)?;
                self.reference(&reader)
            }
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_) => {
                let problem = self.wrong_type(node, name, "a secret");
                self.add(problem.help("write { file = \"/run/secrets/…\" }"));
                None
            }
        }
    }

    fn literal(&self, text: &str, place: &Place, name: &str) -> Option<Secret> {
        let help = "write { file = \"/run/secrets/…\" }";
        if text.contains("${") {
            let variable = text.split_once("${").and_then(|(_, rest)| rest.split_once('}'));
            let variable = variable.map_or("NAME", |(variable, _)| variable);
            let variable = variable.split(':').next().unwrap_or(variable);
            self.add(
                Problem::new(
                    Code::E0302,
                    place,
                    format!("`{name}` is a secret, where no variable is expanded"),
                )
                .label("this is taken as it stands")
                .help(format!("write {{ env = \"{variable}\" }}")),
            );
            return None;
        }
        if text == MASKED && self.secrets == SecretUse::Fetch {
            // Whoever serves what was printed would seal and sign with a word that everybody knows.
            let problem = Problem::new(Code::E0303, place, format!("`{name}` was masked"));
            self.add(problem.label("this is what is printed instead of a secret").help(help));
            return None;
        }
        if text.is_empty() {
            let problem = Problem::new(Code::E0303, place, format!("`{name}` is empty"));
            self.add(problem.label("nobody can be known by this").help(help));
            return None;
        }
        let (code, message) = if self.files.readable_by_others(place) && !self.loopback_only {
            (Code::E0301, format!("`{name}` stands in a file that others can read"))
        } else {
            (Code::W0301, format!("`{name}` is a secret and stands in the configuration"))
        };
        self.add(Problem::new(code, place, message).label("keep it elsewhere").help(help));
        Some(Secret::new(text))
    }

    fn reference(&self, reader: &Reader<'_>) -> Option<Option<Secret>> {
        let given: Vec<&str> = SECRET.keys.iter().copied().filter(|key| reader.has(key)).collect();
        let [kind] = given.as_slice() else {
            let message = format!(
                "`{}` says {} where it is kept",
                reader.path,
                match given.len() {
                    0 => "nowhere",
                    _ => "in two ways",
                }
            );
            self.add(
                Problem::new(Code::E0120, reader.place, message)
                    .label("one of `file`, `env` and `credential`"),
            );
            return None;
        };
        let text = reader.words(kind)?;
        if self.secrets == SecretUse::Leave {
            return Some(None);
        }
        let fail = |label: String| {
            let message = format!("`{}` cannot be read", reader.path);
            self.add(Problem::new(Code::E0303, &text.place, message).label(label));
        };
        let secret = match *kind {
            "env" => match self.environment.variable(&text.value) {
                Some(value) => value,
                None => {
                    fail("this variable is not set".to_owned());
                    return None;
                }
            },
            kind => {
                let path = if kind == "file" {
                    self.files.path(&text.place, &text.value)
                } else {
                    match self.credential(&text.value) {
                        Ok(path) => path,
                        Err(label) => {
                            fail(label.to_owned());
                            return None;
                        }
                    }
                };
                self.environment.reads(Input::File(path.clone()));
                match read(&path) {
                    Ok(Content { secret, readable_by_others }) => {
                        if readable_by_others && kind == "file" {
                            let message =
                                format!("`{}` can be read by others on this machine", reader.path);
                            self.add(
                                Problem::new(Code::W0302, &text.place, message)
                                    .label("this file")
                                    .help("chmod 600, or 400"),
                            );
                        }
                        secret
                    }
                    Err(label) => {
                        fail(label);
                        return None;
                    }
                }
            }
        };
        if secret.is_empty() {
            fail("it is empty".to_owned());
            return None;
        }
        Some(Some(Secret::new(secret)))
    }

    /// Where systemd put the credential of that name.
    fn credential(&self, name: &str) -> Result<PathBuf, &'static str> {
        if name.contains('/') || matches!(name, "." | "..") {
            return Err("a credential has a name, not a path");
        }
        let directory = self
            .environment
            .variable("CREDENTIALS_DIRECTORY")
            .ok_or("systemd passed no credentials; the unit needs `LoadCredential=`")?;
        Ok(Path::new(&directory).join(name))
    }
}

/// What a file holds that may be a secret.
pub(crate) struct Content {
    pub(crate) secret: String,
    pub(crate) readable_by_others: bool,
}

/// Reads a secret file without the line end that editors leave behind.
pub(crate) fn read(path: &Path) -> Result<Content, String> {
    let file = File::open(path).map_err(|error| in_words(&error))?;
    let metadata = file.metadata().map_err(|error| in_words(&error))?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| in_words(&error))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the file has more than {SECRET_BYTES_MAX} bytes"));
    }
    let mut secret =
        String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    // Kubernetes mounts secrets readable for all of the container and swaps them through `..data`.
    let projected = path.parent().is_some_and(|parent| parent.join("..data").is_symlink());
    let readable_by_others = metadata.permissions().mode() & 0o077 != 0 && !projected;
    Ok(Content { secret, readable_by_others })
}

/// What went wrong with a file, as a label.
pub(crate) fn in_words(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::IsADirectory, "this is a directory"),
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "this process may not read the file"),
    ];
    let known = known.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

/// 64 hexadecimal digits, or base64 in either alphabet, with padding or without.
fn decode_key(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digit =
            |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        return pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    }
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::URL_SAFE, alphabet::STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}

/// Whether what stands at `path` is a secret, or was perhaps meant to be one. Then it is not shown.
pub(crate) fn is_secret(path: &[&str]) -> bool {
    match path {
        ["admin", "token"] | ["sessions", "keys"] | ["routes", _, "secrets", _] => true,
        ["routes", _, "secrets"] => false,
        // Here it is the word of CORS for "with cookies".
        ["routes", _, "cors", ..] => false,
        [
            "providers",
            _,
            "client_assertion" | "decryption_keys" | "dpop_signing_key" | "proxy" | "signing_key",
        ] => true,
        // The second part is the operator's own name.
        [first, _, rest @ ..] if is_named(first) => rest.iter().any(|key| sounds_secret(key)),
        keys => keys.iter().any(|key| sounds_secret(key)),
    }
}

fn is_named(table: &str) -> bool {
    ["listeners", "networks", "policies", "providers", "routes", "upstreams"].contains(&table)
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    // What is dangerous is said with `true`.
    if key.starts_with("danger_") {
        return false;
    }
    ["secret", "passw", "passphrase", "private", "credential", "service_account"]
        .iter()
        .any(|part| key.contains(part))
        || grammar::nearest(&key, ["client_secret"]).is_some()
}

/// The texts that may be secrets and stand in the document themselves.
pub(crate) fn literals(table: &Table) -> Vec<Place> {
    let mut places = Vec::new();
    gather(table, &mut Vec::new(), &mut places);
    places
}

fn gather<'a>(table: &'a Table, path: &mut Vec<&'a str>, places: &mut Vec<Place>) {
    for entry in &table.0 {
        path.push(&entry.key);
        if is_secret(path) {
            gather_literals(&entry.node, places);
        } else if let Value::Table(table) = &entry.node.value {
            gather(table, path, places);
        } else if let Value::List(items) = &entry.node.value {
            for item in items {
                if let Value::Table(table) = &item.value {
                    gather(table, path, places);
                }
            }
        }
        path.pop();
    }
}

fn gather_literals(node: &Node, places: &mut Vec<Place>) {
    match &node.value {
        Value::Table(table) => {
            let literal = table.0.iter().filter(|entry| !SECRET.keys.contains(&entry.key.as_str()));
            literal.for_each(|entry| gather_literals(&entry.node, places));
        }
        Value::List(items) => items.iter().for_each(|item| gather_literals(item, places)),
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Text(_) => {
            places.push(node.place.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_key_is_read_in_each_spelling() {
        let bytes = [0xFB_u8; 32];
        for text in [
            "fb".repeat(32),
            "FB".repeat(32),
            base64_of(&bytes, &alphabet::STANDARD),
            base64_of(&bytes, &alphabet::URL_SAFE),
            base64_of(&bytes, &alphabet::URL_SAFE).trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(decode_key(&text).as_deref(), Some(&bytes[..]), "{text}");
        }
        assert_eq!(decode_key("AA").map(|bytes| bytes.len()), Some(1), "base64 of one byte");
        assert_eq!(decode_key("not a key!"), None);
    }

    fn base64_of(bytes: &[u8], alphabet: &alphabet::Alphabet) -> String {
        GeneralPurpose::new(alphabet, GeneralPurposeConfig::new()).encode(bytes)
    }

    #[test]
    fn what_may_be_a_secret_is_known_by_its_place() {
        for (path, expected) in [
            (&["providers", "corp", "client_secret"][..], true),
            (&["providers", "corp", "client_secert"], true),
            (&["providers", "corp", "clientSecret"], true),
            (&["providers", "corp", "signing_key"], true),
            (&["providers", "corp", "signing_key_id"], false),
            (&["providers", "corp", "danger_secret_in_query"], false),
            (&["providers", "corp", "client_id"], false),
            (&["providers", "secret-santa", "issuer"], false),
            (&["sessions", "keys"], true),
            (&["sessions", "cookie_secret"], true),
            (&["routes", "pma", "secrets", "pma"], true),
            (&["admin", "token"], true),
            (&["redis", "password"], true),
        ] {
            assert_eq!(is_secret(path), expected, "{path:?}");
        }
    }
}
