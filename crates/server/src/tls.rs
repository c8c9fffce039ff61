//! Certificates and keys, read and checked before anything listens with them.
//!
//! pingora's own set-up ends the process when a file is wrong. Here every fault has the file's name and a
//! reason, and what comes out works.
//!
//! Sources: RFC 8446; RFC 7301 (ALPN); RFC 5077 (tickets).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lychgate_config::config::{ListenerTls, TlsVersion};
use lychgate_oidc::{Certificate, Timestamp};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

/// A certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The certificate is not one that can be used.
    #[error("{} contains a certificate that cannot be used", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// The certificate is not for the key, or the key is of no use.
    #[error("the certificate in {} and the key in {} cannot be used together", .certificate.display(), .key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// The file is there and holds nothing of the kind.
    #[error("{} contains no {wanted} in PEM form", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The file is not PEM.
    #[error("{} is not a PEM file", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: pem::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// This build cannot do what was asked for.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// What a listener speaks TLS with.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    /// The last moment at which the certificate is good, if it says one that can be read.
    pub(crate) expires_at: Option<Timestamp>,
    /// Of what it was made.
    mark: [u8; 32],
}

/// What `listener` speaks TLS with now: what it had `before`, with the tickets that its clients have, when nothing
/// of it was changed.
///
/// # Errors
/// [`TlsError`], naming the file. Certificate and key are read together and have to fit (K-32).
pub(crate) fn served(
    tls: &ListenerTls,
    http2: Http2,
    before: Option<&Arc<Served>>,
) -> Result<Arc<Served>, TlsError> {
    let chain = certificates(&tls.certificate)?;
    let key = private_key(&tls.key)?;
    let mut hash = Sha256::new();
    for part in chain.iter().map(AsRef::as_ref).chain([key.secret_der()]) {
        hash.update(Sha256::digest(part));
    }
    hash.update([
        u8::from(tls.min_version == TlsVersion::Tls13),
        u8::from(http2 == Http2::Offered),
    ]);
    let mark = hash.finalize().into();
    if let Some(before) = before.filter(|before| before.mark == mark) {
        return Ok(Arc::clone(before));
    }
    let expires_at = chain.first().and_then(|first| {
        let text = STANDARD.encode(first);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        Certificate::from_pem(&pem).ok().map(|certificate| certificate.expires_at())
    });
    Ok(Arc::new(Served { config: configured(tls, http2, chain, key)?, expires_at, mark }))
}

/// What a listener needs to speak TLS, with HTTP/2 on offer or without.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn server_config(
    tls: &ListenerTls,
    http2: Http2,
) -> Result<Arc<ServerConfig>, TlsError> {
    configured(tls, http2, certificates(&tls.certificate)?, private_key(&tls.key)?)
}

fn configured(
    tls: &ListenerTls,
    http2: Http2,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&version::TLS12, &version::TLS13],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|cause| TlsError::Pair {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            cause,
        })?;
    config.alpn_protocols = match http2 {
        Http2::Offered => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Http2::Off => vec![b"http/1.1".to_vec()],
    };
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
    Ok(Arc::new(config))
}

/// Whether a listener speaks HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http2 {
    /// If the client does.
    Offered,
    /// Never.
    Off,
}

/// The authorities in a PEM file, each of which can be trusted as one.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = certificates(path)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.clone())
            .map_err(|cause| TlsError::Certificate { path: path.to_owned(), cause })?;
    }
    Ok(certificates)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| TlsError::Pem { path: path.to_owned(), cause })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), wanted: "certificate" });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|cause| {
        let path = path.to_owned();
        if matches!(cause, pem::Error::NoItemsFound) {
            TlsError::Empty { path, wanted: "private key" }
        } else {
            TlsError::Pem { path, cause }
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Read { path: path.to_owned(), cause })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// A directory of its own for one test, gone afterwards.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lychgate-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
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

    fn issue() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["app.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn tls(certificate: PathBuf, key: PathBuf) -> ListenerTls {
        ListenerTls { certificate, key, min_version: TlsVersion::Tls12 }
    }

    #[test]
    fn a_certificate_and_its_key_make_a_listener() {
        let directory = Directory::new("pair");
        let (certificate, key) = issue();
        let files = tls(directory.file("c.pem", &certificate), directory.file("k.pem", &key));

        let config = server_config(&files, Http2::Offered).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);

        let config = server_config(&files, Http2::Off).unwrap();
        assert_eq!(
            config.alpn_protocols,
            [b"http/1.1".to_vec()],
            "browsers open WebSockets with it"
        );
    }

    #[test]
    fn whatever_is_wrong_with_a_file_is_said_with_its_name() {
        let directory = Directory::new("wrong");
        let ((certificate, key), (_, other_key)) = (issue(), issue());
        let good = directory.file("good.pem", &certificate);
        let good_key = directory.file("good.key", &key);
        let torn = directory
            .file("torn.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        let empty = directory.file("empty.pem", "");
        let other = directory.file("other.key", &other_key);
        let missing = directory.0.join("missing.pem");

        for (certificate, key, expected) in [
            (&missing, &good_key, "cannot read"),
            (&good, &missing, "cannot read"),
            (&empty, &good_key, "contains no certificate"),
            (&good_key, &good_key, "contains no certificate"),
            (&good, &empty, "contains no private key"),
            (&good, &good, "contains no private key"),
            (&torn, &good_key, "is not a PEM file"),
            (&good, &other, "cannot be used together"),
        ] {
            let error =
                server_config(&tls(certificate.clone(), key.clone()), Http2::Off).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected), "{text}");
            assert!(text.contains(".pem") || text.contains(".key"), "{text}");
            assert!(matches!(error, TlsError::Empty { .. }) || error.source().is_some(), "{text}");
        }
    }

    #[test]
    fn a_file_of_authorities_holds_authorities_only() {
        let directory = Directory::new("authorities");
        let (certificate, _) = issue();
        let two = directory.file("two.pem", &format!("{certificate}{certificate}"));
        assert_eq!(authorities(&two).unwrap().len(), 2);

        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let nonsense = directory.file("nonsense.pem", nonsense);
        assert!(matches!(authorities(&nonsense), Err(TlsError::Certificate { .. })));
    }
}
