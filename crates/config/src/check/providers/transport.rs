//! How a provider is reached: with which certificate of ours, believing whom, and through what.

use lychgate_oidc::{Certificate, MtlsEndpointAliases, Secret, SigningKey};
use url::Url;

use crate::code::Code;
use crate::config::{ClientCertificate, ProviderTransport};
use crate::grammar::PROVIDER_TLS;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::secret::{MASKED, SecretUse, read};
use crate::tree::Value;

/// Reads `tls`, `proxy` and what belongs to them.
pub(super) struct Transport {
    pub(super) transport: ProviderTransport,
    pub(super) has_certificate: bool,
    pub(super) aliases: MtlsEndpointAliases,
}

pub(super) fn transport(reader: &Reader<'_>) -> Transport {
    let aliases = reader.word(
        "mtls_endpoint_aliases",
        MtlsEndpointAliases::Auto,
        &[
            ("auto", MtlsEndpointAliases::Auto),
            ("always", MtlsEndpointAliases::Always),
            ("never", MtlsEndpointAliases::Never),
        ],
    );
    let path = reader.name("tls");
    let tls = reader.table_or_default("tls", &path, &PROVIDER_TLS);
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if tls.has(one) && tls.lacks(other) {
            reader.context.add(tls.missing(format!("`{path}` has a `{one}` and no `{other}`")));
        }
    }
    Transport {
        has_certificate: tls.has("certificate"),
        aliases,
        transport: ProviderTransport {
            client_certificate: client_certificate(&tls),
            ca: authorities(&tls),
            proxy: proxy(reader),
        },
    }
}

/// The certificate and its key, which have to belong together. Not read where secrets are not.
fn client_certificate(tls: &Reader<'_>) -> Option<ClientCertificate> {
    let (certificate_path, key_path) = (tls.path("certificate")?, tls.path("key")?);
    if tls.context.secrets == SecretUse::Leave {
        return None;
    }
    let unusable = |key: &str, label: String| {
        if let Some(entry) = tls.entry(key) {
            let message = format!("`{}` cannot be used", tls.name(key));
            tls.context.add(Problem::new(Code::E0305, &entry.node.place, message).label(label));
        }
    };
    let chain = read(&certificate_path).and_then(|content| {
        let certificate = Certificate::from_pem(&content.secret);
        certificate.map(|first| (first, content.secret)).map_err(|error| error.to_string())
    });
    let key = read(&key_path).and_then(|content| {
        let text = Secret::new(content.secret);
        let key = SigningKey::from_pem(&text).map_err(|error| error.to_string())?;
        Ok((key, text, content.readable_by_others))
    });
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            chain.map(drop).unwrap_or_else(|label| unusable("certificate", label));
            key.map(drop).unwrap_or_else(|label| unusable("key", label));
            return None;
        }
    };
    let ((certificate, chain), (key, text, readable_by_others)) = (chain, key);
    if let Some(entry) = tls.entry("key").filter(|_| readable_by_others) {
        let message = format!("`{}` can be read by others on this machine", tls.name("key"));
        let problem = Problem::new(Code::W0302, &entry.node.place, message);
        tls.context.add(problem.label("this file").help("chmod 600, or 400"));
    }
    if !key.fits(&certificate) {
        unusable("key", "the certificate is for another key".to_owned());
        return None;
    }
    Some(ClientCertificate { chain, key: text, expires_at: certificate.expires_at() })
}

/// Whom to believe instead of the system's authorities, as PEM.
fn authorities(tls: &Reader<'_>) -> Option<String> {
    let path = tls.path("ca")?;
    if tls.context.secrets == SecretUse::Leave {
        return None;
    }
    let content = read(&path).and_then(|content| {
        let read = Certificate::from_pem(&content.secret);
        read.map(|_| content.secret).map_err(|error| error.to_string())
    });
    content
        .map_err(|label| {
            if let Some(entry) = tls.entry("ca") {
                let message = format!("`{}` cannot be used", tls.name("ca"));
                tls.context.add(Problem::new(Code::E0305, &entry.node.place, message).label(label));
            }
        })
        .ok()
}

/// The proxy that requests to this provider go through. With a password in it, it is a secret like any other.
fn proxy(reader: &Reader<'_>) -> Option<Secret> {
    let entry = reader.entry("proxy")?;
    let name = reader.name("proxy");
    let proxy = match &entry.node.value {
        Value::Text(text) if !text.contains('@') && text != MASKED => {
            Secret::new(reader.words("proxy")?.value)
        }
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Text(_) => reader.context.secret(&entry.node, &name)?,
    };
    let is_elsewhere = match &entry.node.value {
        Value::Table(_) => true,
        Value::Text(text) => text == MASKED,
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_) => false,
    };
    if reader.context.secrets == SecretUse::Leave && is_elsewhere {
        return Some(proxy);
    }
    let url = Url::parse(proxy.expose()).ok();
    let is_proxy = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
    });
    if !is_proxy {
        let message = format!("`{name}` is no address of a proxy");
        reader.context.add(
            Problem::new(Code::E0122, &entry.node.place, message)
                .label("scheme, host and port")
                .help("write for example \"http://proxy.example.com:3128\""),
        );
        return None;
    }
    Some(proxy)
}
