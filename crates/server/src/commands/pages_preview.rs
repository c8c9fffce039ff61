//! `lychgate pages preview`: every page on loopback, with a list to switch between them (P-09).
//!
//! The pages are those that visitors get, in every language, made of the operator's templates where there are any. A
//! template that is changed is seen at the next click; one with a mistake is shown with the mistake. Nothing that a page
//! leads to is there.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lychgate_config::ProcessEnvironment;
use lychgate_gateway::language::{Languages, SPOKEN};
use lychgate_gateway::outcome::{Answer, Asset};
use tokio::net::TcpListener;

use super::Files;
use crate::console::{NO, OK, UNREACHABLE, complain, say};
use crate::pages::samples::{self, Sample};
use crate::pages::{PageError, Pages};
use crate::respond::Responder;
use crate::run;

/// What to show.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// A directory of templates, in the place of the configuration's
    #[arg(long, value_name = "DIRECTORY")]
    templates: Option<PathBuf>,
    /// Where to listen; only this machine can be served
    #[arg(long, default_value = "127.0.0.1:9010")]
    address: SocketAddr,
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Where pages link to their style sheet.
const PREFIX: &str = "/.lychgate";

/// Serves until it is interrupted.
pub(super) fn run(options: &Options) -> u8 {
    if !options.address.ip().is_loopback() {
        complain(&format!("error: {} is not an address of this machine alone\n", options.address));
        return NO;
    }
    let mut shown = Shown { templates: None, languages: Languages::new(spoken()) };
    let sources = options.files.sources();
    // Without a configuration our own pages are shown.
    match lychgate_config::pages(&sources, &ProcessEnvironment) {
        Ok(pages) => {
            shown.templates = pages.templates;
            shown.languages = pages.languages;
        }
        Err(report) if !options.files.config.is_empty() => {
            complain(&format!("{report}\n"));
            return NO;
        }
        Err(_) => {}
    }
    if let Some(templates) = &options.templates {
        shown.templates = Some(templates.clone());
    }
    for error in shown.load().err().into_iter().flatten() {
        complain(&format!("warning: {}\n", crate::chain(&error)));
    }
    run::in_runtime(serve(shown, options.address))
}

fn spoken() -> Vec<String> {
    SPOKEN.map(str::to_owned).to_vec()
}

async fn serve(shown: Shown, address: SocketAddr) -> u8 {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            complain(&format!("error: {address} cannot be bound: {error}\n"));
            complain("hint: choose another with `--address`\n");
            return UNREACHABLE;
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    say(&format!("every page: http://{address}/\n"));
    let shown = std::sync::Arc::new(shown);
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let shown = std::sync::Arc::clone(&shown);
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = shown.answer(&request, address);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! {
        () = accept => OK,
        _ = tokio::signal::ctrl_c() => OK,
    }
}

/// What is shown.
struct Shown {
    templates: Option<PathBuf>,
    languages: Languages,
}

impl Shown {
    fn load(&self) -> Result<Pages, Vec<PageError>> {
        Pages::load(PREFIX, self.templates.as_deref(), &self.languages)
    }

    fn answer(&self, request: &Request<Incoming>, address: SocketAddr) -> Response<Full<Bytes>> {
        // A page of another site gets nothing, by whatever name it came here.
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let here = [address.to_string(), format!("localhost:{}", address.port())];
        if !host.is_some_and(|host| here.iter().any(|here| here == host)) {
            return text(StatusCode::MISDIRECTED_REQUEST, "This is another address.\n");
        }
        let path = request.uri().path().trim_start_matches('/');
        if path.is_empty() {
            return html(self.index());
        }
        let samples = samples::all(PREFIX);
        let pages = match self.load() {
            Ok(pages) => pages,
            Err(errors) => {
                let mut said = "These pages cannot be used:\n\n".to_owned();
                for error in errors {
                    let _ = writeln!(said, "- {}", crate::chain(&error));
                }
                return text(StatusCode::INTERNAL_SERVER_ERROR, &said);
            }
        };
        let Some(first) = samples.first() else { return text(StatusCode::NOT_FOUND, "\n") };
        let responder = Responder::new(pages);
        let about = first.about("en");
        match path {
            ".lychgate/style.css" => {
                let mut style = responder.answer(&Answer::Asset(Asset::Style), &about);
                // It is looked at again as soon as it was changed.
                style.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
                return style.map(Full::new);
            }
            // The real one would lead on, to where nothing is.
            ".lychgate/script.js" => {
                return text(StatusCode::OK, "// Pages stay where they are.\n");
            }
            _ => {}
        }
        let shown = path.split_once('/').and_then(|(language, name)| {
            let language = self.languages.tags().find(|tag| *tag == language)?;
            Some((language, samples.iter().find(|sample| sample.name == name)?))
        });
        let Some((language, sample)) = shown else {
            return text(StatusCode::NOT_FOUND, "There is no such page.\n");
        };
        let mut response = responder.answer(&sample.answer, &sample.about(language)).map(Full::new);
        // It is looked at, whatever it would answer; and it stays where it is.
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
        response
    }

    /// The list of all pages.
    fn index(&self) -> String {
        let mut page = "<!doctype html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\">\n\
            <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
            <meta name=\"color-scheme\" content=\"light dark\">\n<title>Every page</title>\n\
            <link rel=\"stylesheet\" href=\"/.lychgate/style.css\">\n</head>\n<body>\n<main>\n<h1>Every page</h1>\n\
            <dl class=\"facts\">\n"
            .to_owned();
        for Sample { name, answer, method, .. } in samples::all(PREFIX) {
            let status = if let Answer::Refusal(refusal) = &answer {
                refusal.reason.status().as_u16()
            } else {
                200
            };
            let _ = write!(page, "<div><dt>{status} {method}</dt><dd>{name}:");
            for tag in self.languages.tags() {
                let _ = write!(page, " <a href=\"/{tag}/{name}\">{tag}</a>");
            }
            page.push_str("</dd></div>\n");
        }
        page.push_str("</dl>\n</main>\n</body>\n</html>\n");
        page
    }
}

fn html(page: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
    );
    response
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
