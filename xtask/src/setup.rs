//! What tests and benchmarks need beyond cargo: programs, certified providers, a browser and applications.
//!
//! Each part looks first and does nothing when it is there, so a second run takes a moment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{command, run};
use crate::root;

/// One release, so that two runs measure the same program. It needs Go 1.26.
const OAUTH2_PROXY: &str = "github.com/oauth2-proxy/oauth2-proxy/v7@v7.15.6";

/// Installs all that the tests need.
pub(crate) fn everything() -> Result<()> {
    programs(NEEDED)?;
    node_modules()?;
    go_programs()?;
    python_packages()
}

/// Installs what the benchmarks need: the provider, and whom they measure beside the gateway.
pub(crate) fn benchmarks() -> Result<()> {
    programs(MEASURED)?;
    node_modules()?;
    oauth2_proxy()
}

/// How to see that something is installed.
enum Evidence {
    Program(&'static str),
    File(&'static str),
    PythonModule(&'static str),
}

impl Evidence {
    fn is_there(&self) -> bool {
        match self {
            Self::Program(name) => on_path(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
            Self::PythonModule(name) => {
                quietly(Command::new("python3").args(["-c", &format!("import {name}")]))
            }
        }
    }
}

/// What each program is for, and the Debian package that brings it.
const NEEDED: &[(Evidence, &str)] = &[
    // The browser of the tests, its trust in the tests' certificates, and letters for its pages.
    (Evidence::Program("chromium"), "chromium"),
    (Evidence::Program("certutil"), "libnss3-tools"),
    (Evidence::File("/usr/share/fonts/truetype/dejavu"), "fonts-dejavu-core"),
    // Clients, servers and load that are not ours.
    (Evidence::Program("curl"), "curl"),
    (Evidence::Program("nc"), "netcat-openbsd"),
    (Evidence::Program("nginx"), "nginx"),
    (Evidence::Program("wrk"), "wrk"),
    (Evidence::Program("hey"), "hey"),
    (Evidence::Program("h2load"), "nghttp2-client"),
    // What breaks servers.
    (Evidence::Program("slowhttptest"), "slowhttptest"),
    (Evidence::Program("testssl"), "testssl.sh"),
    // The applications' home, which needs pip inside.
    (Evidence::Program("python3"), "python3"),
    (Evidence::PythonModule("ensurepip"), "python3-venv"),
];

/// Of the benchmarks: whom they measure, load, and what counts instructions.
const MEASURED: &[(Evidence, &str)] = &[
    (Evidence::Program("nginx"), "nginx"),
    (Evidence::Program("haproxy"), "haproxy"),
    // Not `apache2`, whose package would start a server on port 80.
    (Evidence::Program("apache2"), "apache2-bin"),
    (Evidence::File("/usr/lib/apache2/modules/mod_auth_openidc.so"), "libapache2-mod-auth-openidc"),
    (Evidence::Program("wrk"), "wrk"),
    (Evidence::Program("openssl"), "openssl"),
    (Evidence::Program("valgrind"), "valgrind"),
    (Evidence::Program("python3"), "python3"),
];

fn programs(needed: &[(Evidence, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(evidence, _)| !evidence.is_there())
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    // Debian's release may be too old for the provider, so this one is not asked of apt.
    let node = "Node.js 20.12 or later with npm is needed: https://nodejs.org";
    ensure!(on_path("npm").is_some() && node_is_recent(), node);
    // Nor this: the second provider's library is newer than the Go of Debian 12.
    let go = "Go 1.24.10 or later is needed: https://go.dev/dl";
    ensure!(go_is_recent(), go);
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let install = ["install", "--yes", "--no-install-recommends"];
    if on_path("apt-get").is_none() || !is_root() {
        let list = packages.join(" ");
        bail!("these are missing: {list}\n  sudo apt-get {} {list}", install.join(" "));
    }
    let apt = || {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    run(apt().args(["update", "--quiet"]))?;
    run(apt().arg("--quiet").args(install).args(packages))
}

/// The provider and the browser's driver. The driver brings no browser of its own.
fn node_modules() -> Result<()> {
    let rigs = root().join("tests/rigs");
    installed_from("node", &rigs.join("package-lock.json"), &rigs.join("node_modules"), || {
        let mut npm = command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--cache"]).arg(root().join("target/rigs/npm"));
        npm.current_dir(&rigs);
        run(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))
    })
}

/// What is built with Go: folder, program, package.
const GO_PROGRAMS: &[(&str, &str, &str)] = &[
    // The second provider.
    ("zitadel", "zitadel", "."),
    // Go's own HTTP server.
    ("backends/go", "backend", "."),
    // The examination of HTTP/2.
    ("h2spec", "h2spec", "github.com/summerwind/h2spec/cmd/h2spec"),
];

/// Their libraries are fetched through Go's module proxy and checked against `go.sum`.
fn go_programs() -> Result<()> {
    for (source, program, package) in GO_PROGRAMS {
        let mut build = command("go");
        let program = root().join("target/rigs").join(program);
        build.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(program).arg(package);
        // Go knows by itself what has to be built again. With what is there: no other Go is fetched.
        build.current_dir(root().join("tests/rigs").join(source)).env("GOTOOLCHAIN", "local");
        run(&mut build)?;
    }
    Ok(())
}

/// Through Go's module proxy, checked against its database of checksums. Go knows by itself whether anything is
/// to be done.
fn oauth2_proxy() -> Result<()> {
    let programs = root().join("target/rigs");
    let mut install = command("go");
    install.args(["install", "-trimpath", OAUTH2_PROXY]);
    run(install.env("GOBIN", programs).env("GOTOOLCHAIN", "local"))
}

/// The applications, in a virtual environment of their own.
fn python_packages() -> Result<()> {
    let list = root().join("tests/rigs/requirements.txt");
    let venv = root().join("target/rigs/venv");
    installed_from("python", &list, &venv, || {
        run(command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = command(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]);
        run(pip.arg("--requirement").arg(&list))
    })
}

/// Does the work unless it was done from just this list before. A copy of the list, kept once the
/// work has succeeded, says so; file times would not, because a checkout sets them.
fn installed_from(
    name: &str,
    list: &Path,
    result: &Path,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let wanted = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let marks = root().join("target/rigs");
    let mark = marks.join(format!("{name}.installed"));
    if result.exists() && fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    work()?;
    fs::create_dir_all(&marks)
        .and_then(|()| fs::write(&mark, wanted))
        .with_context(|| format!("cannot write {}", mark.display()))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Debian keeps servers where only root looks.
    let directories = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn node_is_recent() -> bool {
    let recent = "const [major, minor] = process.versions.node.split('.').map(Number); \
                  process.exit(major > 20 || (major === 20 && minor >= 12) ? 0 : 1)";
    quietly(Command::new("node").args(["-e", recent]))
}

fn go_is_recent() -> bool {
    let answer = Command::new("go").arg("version").env("GOTOOLCHAIN", "local").output();
    let Ok(Ok(text)) = answer.map(|output| String::from_utf8(output.stdout)) else { return false };
    // "go version go1.26.8 linux/amd64"
    let version = text.split(' ').nth(2).and_then(|name| name.strip_prefix("go"));
    let mut numbers =
        version.unwrap_or_default().split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let mut number = || numbers.next().and_then(Result::ok).unwrap_or(0);
    [number(), number(), number()] >= [1, 24, 10]
}

fn is_root() -> bool {
    let answer = Command::new("id").arg("-u").output();
    answer.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}
