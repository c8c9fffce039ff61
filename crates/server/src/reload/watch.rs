//! Noticing that files may have changed.
//!
//! The directories are watched and not the files: an editor renames a new file over the old one, and Kubernetes swaps
//! a link called `..data`, after which a watch on the file hears nothing any more (K-31). What happened is not asked;
//! whoever is told compares contents. Where the kernel cannot tell, as on network file systems and on systems other
//! than Linux, looking from time to time has to do.
//!
//! Sources: inotify(7).

use std::collections::BTreeSet;
use std::path::PathBuf;

/// Tells of changes in directories.
#[derive(Debug, Default)]
pub(super) struct Watch {
    #[cfg(target_os = "linux")]
    kernel: Option<linux::Inotify>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            let kernel = linux::Inotify::new();
            let kernel = kernel.inspect_err(|error| {
                tracing::warn!(%error, "files cannot be watched; they are looked at from time to time");
            });
            Self { kernel: kernel.ok() }
        }
        #[cfg(not(target_os = "linux"))]
        Self::default()
    }

    /// Watches these directories, also those that were made anew under an old name.
    pub(super) fn directories(&mut self, directories: &BTreeSet<PathBuf>) {
        #[cfg(target_os = "linux")]
        if let Some(kernel) = &self.kernel {
            kernel.watch(directories);
        }
        let _ = directories;
    }

    /// Waits until something in one of them has changed.
    pub(super) async fn changed(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(kernel) = &mut self.kernel {
            match kernel.changed().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, "files are looked at from time to time");
                    self.kernel = None;
                }
            }
        }
        std::future::pending().await
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use tokio::sync::mpsc;

    /// A thread waits for the kernel: it does so for as long as the process runs, and hardly ever has anything to do.
    #[derive(Debug)]
    pub(super) struct Inotify {
        queue: Arc<OwnedFd>,
        heard: mpsc::Receiver<()>,
    }

    impl Inotify {
        pub(super) fn new() -> io::Result<Self> {
            let queue = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
            // One is enough: whoever is told looks at everything.
            let (tell, heard) = mpsc::channel(1);
            let theirs = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("files".to_owned())
                .spawn(move || listen(&theirs, &tell))?;
            Ok(Self { queue, heard })
        }

        pub(super) fn watch(&self, directories: &BTreeSet<PathBuf>) {
            // Not every write: a log that grows beside the configuration is no change of it.
            let flags = WatchFlags::ATTRIB
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            for directory in directories {
                if let Err(error) = inotify::add_watch(&*self.queue, directory, flags) {
                    let directory = directory.display();
                    tracing::debug!(%directory, %error, "a directory cannot be watched");
                }
            }
        }

        /// Waits for something to happen; an error when nothing will be heard any more.
        pub(super) async fn changed(&mut self) -> io::Result<()> {
            self.heard.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        }
    }

    /// Tells of everything that happens, until there is nobody to tell or nothing to hear.
    fn listen(queue: &OwnedFd, tell: &mpsc::Sender<()>) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(queue, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => {
                    if let Err(mpsc::error::TrySendError::Closed(())) = tell.try_send(()) {
                        return;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "files are watched no more");
                    return;
                }
            }
        }
    }
}
