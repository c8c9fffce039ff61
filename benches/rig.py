"""The programs that take part in the measurement, and what is sent to them.

The load generator and the upstream share one core. Every contender has the other one for itself
while it is its turn, and one worker, which the gateway decides by the cores that it may use.
"""

import contextlib
import dataclasses
import http.cookiejar
import json
import os
import pathlib
import re
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PROVIDER = HERE.parent / "tests" / "rigs" / "provider.mjs"

BODY_BYTES = 256
START_SECONDS = 20
# Whom the provider signs in.
USER = "alice"
# The session keeps the ID token for sign-out, and our name is in it. A long one makes up for what
# other providers tell about a person: the session has about 1.5 KB, and its cookie 2 KB.
CLIENT = {
    "client_id": "bench-" + "long-" * 80,
    "client_secret": secrets.token_hex(32),
    "token_endpoint_auth_method": "client_secret_basic",
    "grant_types": ["authorization_code"],
}
# Outside of this the figures would not be those of a usual session.
COOKIE_BYTES = range(1300, 2200)


class Failed(Exception):
    """What went wrong, for the person who started this."""


class Unavailable(Failed):
    """Somebody asked for a little patience (RFC 9110 §15.6.4)."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of the table: where the load goes, and with which cookie."""

    title: str
    process: subprocess.Popen
    url: str
    cookie: str | None
    # Whose requests per second this one's are divided by.
    baseline: str


# The baselines, and the row that has to pass.
BARE = "bare pingora"
BARE_WITH_COOKIE = "bare pingora, same cookie"
SIGNED_IN = "lychgate, signed in"


class Rig:
    """A place to start programs; they and their files are gone when it is left."""

    def __init__(self, binaries):
        self.binaries = binaries
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("two cores are needed: one for the load, one for what is measured")
        self.load_core, self.contender_core = cores[:2]

    def __enter__(self):
        with contextlib.ExitStack() as self.stack:
            directory = tempfile.TemporaryDirectory(prefix="lychgate-bench-")
            self.directory = pathlib.Path(self.stack.enter_context(directory))
            self.upstream = self.start_upstream()
            # Nothing failed, so all of it stays until the rig is left.
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *failure):
        return self.stack.__exit__(*failure)

    def contenders(self):
        """Starts everybody, signs in, and says what the rows are."""
        nginx, bare, gateway, logging = (free_address() for _ in range(4))
        nginx_process = self.start_nginx(nginx)
        bare_process = self.start_bare(bare)
        issuer = self.start_provider([gateway, logging])
        access_log = self.directory / "access.log"
        gateway_process = self.start_lychgate("gateway", gateway, issuer, "none")
        logging_process = self.start_lychgate("logging", logging, issuer, access_log)

        cookie = sign_in(gateway)
        rows = [
            ("nginx", nginx_process, f"http://{nginx}/", None),
            ("nginx, same cookie", nginx_process, f"http://{nginx}/", cookie),
            (BARE, bare_process, f"http://{bare}/", None),
            (BARE_WITH_COOKIE, bare_process, f"http://{bare}/", cookie),
            ("lychgate, public", gateway_process, f"http://{gateway}/public/", None),
            ("lychgate, public, same cookie", gateway_process, f"http://{gateway}/public/", cookie),
            (SIGNED_IN, gateway_process, f"http://{gateway}/", cookie),
            (f"{SIGNED_IN}, log", logging_process, f"http://{logging}/", sign_in(logging)),
        ]
        # Like with like: the cookie's bytes cost every proxy something.
        return [Contender(*row, BARE_WITH_COOKIE if row[-1] else BARE) for row in rows]

    def requests_at_upstream(self):
        """How many requests the upstream has had, this question included."""
        numbers = fetch(f"http://{self.upstream}/requests")
        # Connections accepted, connections handled, requests.
        return int(re.search(r"\n \d+ \d+ (\d+) ", numbers)[1])

    def start_upstream(self):
        """A constant answer, the identity that arrived, and how many requests there were."""
        address = free_address()
        server = f"""
            server {{
                listen {address};
                location / {{ return 200 "{'x' * BODY_BYTES}"; }}
                location = /identity {{ return 200 "$http_x_forwarded_user"; }}
                location = /requests {{ stub_status; }}
            }}
        """
        self.start_nginx_with("upstream", self.load_core, address, server)
        return address

    def start_nginx(self, address):
        """nginx as a proxy that does nothing else, with connections to the upstream kept."""
        servers = f"""
            upstream application {{
                server {self.upstream};
                keepalive 128;
                keepalive_requests 1000000000;
                keepalive_timeout 1h;
            }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://application;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                }}
            }}
        """
        return self.start_nginx_with("nginx", self.contender_core, address, servers)

    def start_nginx_with(self, name, core, address, servers):
        file = self.directory / f"{name}.conf"
        temporary = "\n".join(
            f"{kind}_temp_path {self.directory}/{name}-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Without a master there is one process: the one that is measured, and ended.
        file.write_text(f"""
            daemon off;
            master_process off;
            pid {self.directory}/{name}.pid;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                keepalive_requests 1000000000;
                keepalive_timeout 1h;
                {temporary}
                {servers}
            }}
        """)
        command = ["nginx", "-e", "stderr", "-c", file]
        return self.start(name, core, command, ready=lambda: listens(address))

    def start_bare(self, address):
        command = [self.binaries / "lychgate-passthrough", address, self.upstream]
        return self.start("bare", self.contender_core, command, ready=lambda: listens(address))

    def start_provider(self, gateways):
        """The certified provider of the tests' rigs, which signs in without a page; its issuer."""
        clients = self.directory / "clients.json"
        callbacks = [f"http://{gateway}/.lychgate/callback" for gateway in gateways]
        clients.write_text(json.dumps({"redirect_uris": callbacks, "clients": [CLIENT]}))
        command = ["node", PROVIDER, "--clients", clients, "--id-token-claims"]
        # It ends when its standard input does.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self.start("provider", self.load_core, command, **pipes)
        ready = process.stdout.readline()
        if not ready:
            raise Failed(f"the provider does not start:\n{self.last_words('provider')}")
        return json.loads(ready)["issuer"]

    def start_lychgate(self, name, address, issuer, access_log):
        key = self.keep_secret(f"{name}.key", secrets.token_hex(32))
        client_secret = self.keep_secret(f"{name}.secret", CLIENT["client_secret"])
        configuration = self.directory / f"{name}.toml"
        # A session is renewed after a twelfth of the idle time. Nobody here takes the new cookie,
        # and every later answer would bring another one; a browser takes the first.
        configuration.write_text(f"""
            [listeners.plain]
            address = "{address}"

            [admin]
            address = "{free_address()}"

            [telemetry]
            access_log = {{ output = "{access_log}" }}

            [sessions]
            keys         = [{{ file = "{key}" }}]
            lifetime     = "12h"
            idle_timeout = "12h"

            [providers.rig]
            issuer        = "{issuer}"
            client_id     = "{CLIENT['client_id']}"
            client_secret = {{ file = "{client_secret}" }}

            [routes.public]
            url      = "http://{address}/public/"
            upstream = "http://{self.upstream}"
            public   = true

            [routes.signed_in]
            url      = "http://{address}"
            upstream = "http://{self.upstream}"
            identity = "headers"
            allow    = ["authenticated"]
        """)
        command = [self.binaries / "lychgate", "run", "--config", configuration]
        return self.start(name, self.contender_core, command, ready=lambda: listens(address))

    def keep_secret(self, name, text):
        file = self.directory / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def start(self, name, core, command, ready=None, **streams):
        """Starts a program on one core, and waits until `ready` says that it is."""
        with self.log(name).open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **streams}
            pinned = ["taskset", "--cpu-list", str(core), *command]
            process = self.stack.enter_context(subprocess.Popen(pinned, **streams))
        # Nobody here has anything to save, so there is no need to ask kindly.
        self.stack.callback(process.kill)

        until = time.monotonic() + START_SECONDS
        while ready and not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"{name} does not start:\n{self.last_words(name)}")
            time.sleep(0.05)
        return process

    def log(self, name):
        return self.directory / f"{name}.log"

    def last_words(self, name):
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def listens(address):
    host, port = address.split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def sign_in(gateway):
    """Signs in through the gateway, and returns the `Cookie` header of the session."""
    jar = http.cookiejar.CookieJar()
    told = patiently(lambda: fetch(f"http://{gateway}/identity", jar))
    if told != USER:
        raise Failed(f"the upstream was told that the user is {told!r}, not {USER!r}")
    # The provider's cookies are in the jar too: it has the same host, and ports make no difference.
    session = [f"{cookie.name}={cookie.value}" for cookie in jar if cookie.name == "lychgate"]
    header = "; ".join(session)
    if len(header) not in COOKIE_BYTES:
        raise Failed(f"the session cookie has {len(header)} bytes, which is not a usual size")
    return header


def patiently(attempt):
    """The gateway listens before it knows the provider, and nobody can sign in until then."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def fetch(url, jar=None):
    """The text at `url`, redirects followed and cookies kept in `jar`."""
    # Straight, whatever proxy the environment names.
    direct = urllib.request.ProxyHandler({})
    browser = urllib.request.build_opener(direct, urllib.request.HTTPCookieProcessor(jar))
    # Who asks for a page is sent to sign in; a program would be refused.
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    try:
        with browser.open(request, timeout=20) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        # Where the redirects ended, and what was said there.
        said = f"{error.url}: {error}\n{error.read().decode(errors='replace')}"
        raise (Unavailable if error.code == 503 else Failed)(said) from error
    except OSError as error:
        raise Failed(f"{url}: {error}") from error
