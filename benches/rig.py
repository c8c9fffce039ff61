"""A place where programs are started, each on its core, and what they are asked with.

The load generator and the upstream share one core. Whoever is measured has the other one for itself
while it is its turn.
"""

import contextlib
import http.cookiejar
import json
import os
import pathlib
import re
import resource
import secrets
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PROVIDER = HERE.parent / "tests" / "rigs" / "provider.mjs"

# The upstream's answers: where to ask for how many bytes.
ANSWERS = {256: "", 65536: "large"}
# Whom the provider signs in.
USER = "alice"
# Sessions keep the ID token, and our name is in it. A long one makes up for what other providers
# tell about a person: the gateway's session has about 1.5 KB, and its cookie 2 KB. A random one,
# because some compress.
CLIENT = {
    "client_id": "bench-" + secrets.token_hex(200),
    "client_secret": secrets.token_hex(32),
    "token_endpoint_auth_method": "client_secret_basic",
    "grant_types": ["authorization_code"],
}


class Failed(Exception):
    """What went wrong, for the person who started this."""


class Unavailable(Failed):
    """Somebody asked for a little patience (RFC 9110 §15.6.4)."""


class Rig:
    """A place to start programs; they and their files are gone when it is left."""

    # How long a program may take until it is ready.
    start_seconds = 20

    def __init__(self, binaries, tls=False):
        self.binaries = binaries
        self.scheme = "https" if tls else "http"
        self.authority = None
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("two cores are needed: one for the load, one for what is measured")
        self.load_core, self.contender_core = cores[:2]
        # A proxy has two sockets for each connection of the load, and a shell often allows 1,024.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def __enter__(self):
        with contextlib.ExitStack() as self.stack:
            directory = tempfile.TemporaryDirectory(prefix="lychgate-bench-")
            self.directory = pathlib.Path(self.stack.enter_context(directory))
            # Programs that give root up must still find their files.
            self.directory.chmod(0o755)
            if self.scheme == "https":
                self.authority = Authority(self.directory)
            self.upstream = self.start_upstream()
            # Nothing failed, so all of it stays until the rig is left.
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *failure):
        return self.stack.__exit__(*failure)

    def requests_at_upstream(self):
        """How many requests the upstream has had, this question included."""
        numbers = self.fetch(f"http://{self.upstream}/requests")
        # Connections accepted, connections handled, requests.
        return int(re.search(r"\n \d+ \d+ (\d+) ", numbers)[1])

    def start_upstream(self):
        """Constant answers, the identity that arrived, and how many requests there were."""
        address = free_address()
        (small, _), (large, large_path) = ANSWERS.items()
        files = self.directory / "answers"
        # Everybody's routes lead to the same places, and one of them has a path before it.
        for directory in (files, files / "public"):
            directory.mkdir()
            (directory / large_path).write_text("x" * large)
        server = f"""
            open_file_cache max=16;
            server {{
                listen {address};
                # mod_auth_openidc says it in such names.
                underscores_in_headers on;
                location / {{ return 200 "{'x' * small}"; }}
                location ~ /{large_path}$ {{ root {files}; }}
                location = /identity {{ return 200 "$http_x_forwarded_user$http_oidc_claim_sub"; }}
                location = /allowed {{ return 202; }}
                location = /requests {{ stub_status; }}
            }}
        """
        self.start_nginx_with("upstream", self.load_core, address, server)
        return address

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
            events {{ worker_connections 8192; }}
            http {{
                access_log off;
                sendfile on;
                keepalive_requests 1000000000;
                keepalive_timeout 1h;
                {temporary}
                {servers}
            }}
        """)
        command = ["nginx", "-e", "stderr", "-c", file]
        return self.start(name, core, command, ready=lambda: listens(address))

    def start_provider(self, callbacks):
        """The certified provider of the tests' rigs, which signs in without a page; its issuer."""
        clients = self.directory / "clients.json"
        clients.write_text(json.dumps({"redirect_uris": callbacks, "clients": [CLIENT]}))
        command = ["node", PROVIDER, "--clients", clients, "--id-token-claims"]
        # It ends when its standard input does.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self.start("provider", self.load_core, command, **pipes)
        ready = process.stdout.readline()
        if not ready:
            raise Failed(f"the provider does not start:\n{self.last_words('provider')}")
        return json.loads(ready)["issuer"]

    def start_ours(self, name, command, ready):
        """Starts one of our own programs. A rig that looks into them does more here."""
        return self.start(name, self.contender_core, command, ready=ready)

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
        self.stack.callback(lambda: [end(pid) for pid in family(process.pid)])

        until = time.monotonic() + self.start_seconds
        while ready and not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"{name} does not start:\n{self.last_words(name)}")
            time.sleep(0.05)
        return process

    def log(self, name):
        return self.directory / f"{name}.log"

    def last_words(self, name):
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])

    def sign_in(self, origin, names):
        """Signs in at `origin`, and returns the `Cookie` header of the session.

        Of the cookies only those count whose names begin with one of `names`. The provider's are in
        the same jar: it has the same host, and ports make no difference.
        """
        jar = http.cookiejar.CookieJar()
        told = self.patiently(lambda: self.fetch(f"{origin}/identity", jar))
        if told != USER:
            raise Failed(f"the upstream was told that the user is {told!r}, not {USER!r}")
        session = [f"{it.name}={it.value}" for it in jar if it.name.startswith(names)]
        return "; ".join(session)

    def patiently(self, attempt):
        """The gateway listens before it knows the provider, and nobody can sign in until then."""
        until = time.monotonic() + self.start_seconds
        while True:
            try:
                return attempt()
            except Unavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def fetch(self, url, jar=None):
        """The text at `url`, redirects followed and cookies kept in `jar`."""
        handlers = [
            # Straight, whatever proxy the environment names.
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(jar),
        ]
        if self.authority:
            trust = ssl.create_default_context(cafile=self.authority.certificate)
            handlers.append(urllib.request.HTTPSHandler(context=trust))
        browser = urllib.request.build_opener(*handlers)
        # Who asks for a page is sent to sign in; a program would be refused.
        request = urllib.request.Request(url, headers={"Accept": "text/html"})
        try:
            with browser.open(request, timeout=self.start_seconds) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            # Where the redirects ended, and what was said there.
            said = f"{error.url}: {error}\n{error.read().decode(errors='replace')}"
            raise (Unavailable if error.code == 503 else Failed)(said) from error
        except OSError as error:
            raise Failed(f"{url}: {error}") from error


class Authority:
    """A certificate for loopback, the same for everybody, and who vouches for it."""

    def __init__(self, directory):
        self.certificate = directory / "authority.pem"
        self.chain = directory / "server.pem"
        self.key = directory / "server.key"
        # What HAProxy wants in one file.
        self.both = directory / "server-and-key.pem"
        authority_key = directory / "authority.key"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl("req", "-x509", *curve, "-subj", "/CN=Benchmark CA", "-out", self.certificate,
                "-keyout", authority_key, "-addext", "keyUsage=critical,keyCertSign")
        openssl("req", "-x509", *curve, "-subj", "/CN=localhost", "-out", self.chain,
                "-keyout", self.key, "-CA", self.certificate, "-CAkey", authority_key,
                "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-addext", "basicConstraints=critical,CA:FALSE")
        self.both.write_text(self.chain.read_text() + self.key.read_text())


def openssl(*arguments):
    made = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    if made.returncode != 0:
        raise Failed(f"openssl {arguments[0]}: {made.stderr}")


def family(pid):
    """A process and all that it started, the youngest first (proc_pid_stat(5), field 4)."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        # Somebody else's process may end in between.
        with contextlib.suppress(OSError):
            parent = int(stat_fields(stat)[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    members = [pid]
    # The list grows while it is read.
    for member in members:
        members.extend(children.get(member, []))
    return members[::-1]


def stat_fields(stat):
    """The fields after the second, which is a name: that may hold anything, and ends with the last
    parenthesis."""
    return stat.read_text().rpartition(")")[2].split()


def end(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def listens(address):
    host, port = address.split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def first_line(*command):
    """How a program introduces itself, whichever stream it takes and however it ends."""
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return next(iter(said.stdout.splitlines()), "")
