//! The key that seals cookies, where the operator keeps none: made once, kept in the state directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate_gateway::seal::Key;

use crate::world::fill_random;

const FILE_NAME: &str = "session.key";

/// A key from the state directory could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("`{path}` can be read by others; its mode should be 0600")]
    Exposed { path: PathBuf },
    #[error("`{path}` cannot be read or written")]
    Io { path: PathBuf, source: io::Error },
    #[error("`{path}` does not hold a key")]
    NoKey { path: PathBuf },
}

/// A fresh key as text: 32 random bytes in unpadded base64url.
pub(crate) fn generate() -> String {
    let mut bytes = [0; 32];
    fill_random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Writes a fresh key to a new file of mode 0600.
///
/// # Errors
/// When there is a file already, or it cannot be written.
pub(crate) fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", generate())?;
    file.sync_all()
}

/// The key in `directory`, made if there is none.
///
/// # Errors
/// When it cannot be kept there, or what is there is no key or is open to others. The caller may then go on
/// with a key in memory; it must not go on with a key that others can read.
pub(crate) fn in_directory(directory: &Path) -> Result<Key, KeyError> {
    let path = directory.join(FILE_NAME);
    let io = |source| KeyError::Io { path: path.clone(), source };
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        match write_new(&path) {
            // Another process was faster; its key is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(io)?,
        }
    }
    let mut file = File::open(&path).map_err(io)?;
    if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(io)?;
    let bytes =
        URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(Key::new).ok_or(KeyError::NoKey { path })
}

/// Where state is kept: where systemd says, else where the user's programs keep theirs, else the system's.
pub(crate) fn state_directory() -> PathBuf {
    let variable =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("STATE_DIRECTORY")
        .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("lychgate")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/lychgate")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/lychgate"))
}
