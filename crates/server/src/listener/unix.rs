//! Listening on a socket file, which appears with the right permissions and goes away with its listener.
//!
//! A file that is left from a process that is gone is removed. It has to be a socket, and nobody may answer
//! on it: what else stands at the path was not made by us, and a server that answers is still at work.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lychgate_config::config::ListenAddress;
use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket};

/// A socket file cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketFileError {
    /// Something else stands there.
    #[error("the path is taken by something that is not a socket")]
    NotASocket,
    /// Another process listens on it.
    #[error("another process is listening there")]
    InUse,
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A socket file of ours. It is removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    mode: u32,
    identity: Identity,
}

/// Device, file, and when it was last changed: a new file may get the number of one that is gone.
type Identity = (u64, u64, i64, i64);

/// Listens on `path`, where nobody but `mode` says may connect, not even for a moment.
pub(crate) fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
) -> Result<(UnixListener, SocketFile), SocketFileError> {
    make_way(path)?;
    let socket = UnixSocket::new_stream()?;
    // On Linux the file gets the mode of the socket that is bound to it, less the mask of the process.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode)).map_err(io::Error::from)?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let file = SocketFile { path: path.to_owned(), mode, identity: identity(path)? };
    Ok((socket.listen(backlog)?, file))
}

impl SocketFile {
    pub(crate) fn address(&self) -> ListenAddress {
        ListenAddress::Unix { path: self.path.clone(), mode: self.mode }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn make_way(path: &Path) -> Result<(), SocketFileError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.file_type().is_socket() {
        return Err(SocketFileError::NotASocket);
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketFileError::InUse),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(std::fs::remove_file(path)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("lychgate-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[tokio::test]
    async fn the_file_has_the_permissions_that_were_asked_for_and_goes_away() {
        let path = path("mode");
        let (_listener, file) = listen(&path, 0o660, 16).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o660);

        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let path = path("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody removes it for us");

        assert!(listen(&path, 0o600, 16).is_ok());
    }

    #[tokio::test]
    async fn a_server_at_work_and_foreign_files_are_left_alone() {
        let busy = path("busy");
        let (_listener, _file) = listen(&busy, 0o600, 16).unwrap();
        assert!(matches!(listen(&busy, 0o600, 16), Err(SocketFileError::InUse)));

        let foreign = path("foreign");
        std::fs::write(&foreign, "precious").unwrap();
        assert!(matches!(listen(&foreign, 0o600, 16), Err(SocketFileError::NotASocket)));
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "precious");
        std::fs::remove_file(&foreign).unwrap();
    }

    #[tokio::test]
    async fn a_successors_socket_is_not_removed() {
        let path = path("successor");
        let (listener, file) = listen(&path, 0o600, 16).unwrap();
        drop(listener);
        let (_successor, _its_file) = listen(&path, 0o600, 16).unwrap();

        drop(file);
        assert!(path.exists());
    }
}
