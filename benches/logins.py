"""What signing in costs, and that it costs nobody who is signed in.

Called by `run.sh logins`, which builds the binary; README.md says how to read what is printed. It exits with 1 when a
login fails, when 1,000 logins with keys of 4096 bits at once are felt by those who are signed in, or when logins that
nobody finishes use memory up.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import signal
import statistics
import subprocess
import sys

from measure import at_least_one, cpu_seconds, resident_bytes
from rig import HERE, Failed, Rig, Unavailable, free_address, listens

CONCURRENCY = 32
WARM_UP_LOGINS = 200
# How many sign in at once beside those who are signed in, and what of their p99 may change.
CROWD = 1_000
ALLOWED_RATIO = 1.10
# Those who are signed in: 50 people who click about 20 times a second.
PEOPLE = 50
PAUSE_MILLISECONDS = 50
# How many begin and never come back, after how many memory has to be what it will be, and how much more it may become.
ABANDONED = 200_000
ABANDONED_BEFORE = 20_000
ALLOWED_GROWTH = 1.10
# One in so many of them at the strict provider, which is told of each.
STRICT_SHARE = 10

PLAIN, STRICT, STRONG = "plain", "strict", "strong"
TITLES = {
    PLAIN: "plain (code, PKCE, client_secret_basic)",
    STRICT: "FAPI 2.0 (PAR, private_key_jwt, DPoP), RSA-2048",
    STRONG: "FAPI 2.0, RSA-4096",
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One kind of login in one turn."""

    logins_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    # Of the gateway's process for each login, user and system, all of its threads.
    cpu_milliseconds: float
    # Of its one core.
    busy: float


class LoginRig(Rig):
    """A gateway with a provider that is asked in three ways, and room for as many logins as come."""

    def start(self, name, core, command, **others):
        # The load must not take the time of those whose answers are measured on the same core.
        if name == "idp":
            command = ["nice", "-n", "19", *command]
        return super().start(name, core, command, **others)

    def start_idp(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self.start("idp", self.load_core, ["node", HERE / "idp.mjs"], **pipes)
        ready = process.stdout.readline()
        if not ready:
            raise Failed(f"the provider does not start:\n{self.last_words('idp')}")
        return json.loads(ready)["issuer"]

    def start_gateway(self):
        address, issuer = free_address(), self.start_idp()
        key = self.keep_secret("gateway.key", secrets.token_hex(32))
        secret = self.keep_secret("client.secret", secrets.token_hex(32))
        providers = f"""
            [providers.{PLAIN}]
            issuer        = "{issuer}"
            client_id     = "{PLAIN}"
            client_secret = {{ file = "{secret}" }}
        """
        for name, bits in ((STRICT, 2048), (STRONG, 4096)):
            signing_key = self.keep_secret(f"{name}.pem", rsa_key(bits))
            providers += f"""
            [providers.{name}]
            profile     = "fapi2"
            issuer      = "{issuer}"
            client_id   = "{name}"
            signing_key = {{ file = "{signing_key}" }}
            """
        routes = "".join(
            f"""
            [routes.{name}]
            url       = "http://{address}/{name}/"
            upstream  = "http://{self.upstream}"
            providers = ["{name}"]
            allow     = ["authenticated"]
            """
            for name in TITLES
        )
        configuration = self.directory / "gateway.toml"
        configuration.write_text(f"""
            [listeners.plain]
            address         = "{address}"
            trusted_proxies = ["127.0.0.1/32"]

            [admin]
            address = "{free_address()}"

            [telemetry]
            access_log = {{ output = "none" }}
            audit_log  = {{ output = "none" }}

            [limits]
            login_starts_per_client = 1000000

            [sessions]
            keys         = [{{ file = "{key}" }}]
            lifetime     = "12h"
            idle_timeout = "12h"
            {providers}
            [routes.home]
            url       = "http://{address}"
            upstream  = "http://{self.upstream}"
            identity  = "headers"
            providers = ["{PLAIN}"]
            allow     = ["authenticated"]
            {routes}
        """)
        command = [self.binaries / "lychgate", "run", "--config", configuration]
        process = self.start("gateway", self.contender_core, command, ready=lambda: listens(address))
        # Its metadata is fetched before anybody is let loose on it.
        self.patiently(lambda: self.logins(address, PLAIN, concurrency=1, logins=1))
        return address, process

    def logins(self, address, name, **plan):
        return self.finish(self.begin_logins(address, name, **plan))

    def begin_logins(self, address, name, **plan):
        plan = {"url": f"http://{address}/{name}/", **plan}
        pinned = ["nice", "-n", "19", "taskset", "--cpu-list", str(self.load_core)]
        command = [*pinned, "node", HERE / "logins.mjs", json.dumps(plan)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stack.callback(process.kill)
        return process

    @staticmethod
    def finish(process):
        said, complaints = process.communicate()
        if process.returncode != 0:
            raise Failed(f"the load does not run:\n{complaints}")
        result = json.loads(said)
        if result["failed"]:
            kind = Unavailable if " 503 " in f" {result['problem']}" else Failed
            raise kind(f"{result['failed']} logins failed, for example: {result['problem']}")
        return result


def rsa_key(bits):
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise Failed(f"openssl makes no key: {made.stderr}")
    return made.stdout


def main():
    options = arguments()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit("bench: stopped"))
    unmet = []
    try:
        with LoginRig(options.binaries) as rig:
            address, gateway = rig.start_gateway()
            print_setting(options, rig)
            unmet += cost(rig, address, gateway, options)
            unmet += crowd(rig, address, options)
            unmet += abandoned(rig, address, gateway, options)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    if unmet:
        sys.exit("\n".join(f"bench: {line}" for line in unmet))


def arguments():
    parser = argparse.ArgumentParser(
        prog="cargo xtask bench logins", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=at_least_one, default=5, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=at_least_one, default=5, help="of each turn; default: %(default)s"
    )
    parser.add_argument(
        "--crowd", type=at_least_one, default=CROWD, help="logins at once; default: %(default)s"
    )
    parser.add_argument(
        "--abandoned", type=at_least_one, default=ABANDONED,
        help="logins that nobody finishes; default: %(default)s",
    )
    return parser.parse_args()


def print_setting(options, rig):
    print(f"""
machine   {os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}
load      {CONCURRENCY} people who sign in at a time; {options.rounds} rounds, turns of {options.seconds} s
cores     {rig.load_core}: people and provider, {rig.contender_core}: the gateway, with one worker
""", flush=True)


def cost(rig, address, gateway, options):
    """Logins per second of each kind, in turns."""
    samples = {name: [] for name in TITLES}
    for name in TITLES:
        rig.logins(address, name, concurrency=CONCURRENCY, logins=WARM_UP_LOGINS)
    for number in range(options.rounds):
        print(f"logins: round {number + 1} of {options.rounds}", file=sys.stderr)
        names = list(TITLES)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            cpu = cpu_seconds(gateway.pid)
            load = rig.logins(address, name, concurrency=CONCURRENCY, seconds=options.seconds)
            cpu = cpu_seconds(gateway.pid) - cpu
            samples[name].append(Sample(
                logins_per_second=load["logins"] / load["seconds"],
                p50_milliseconds=load["p50"],
                p99_milliseconds=load["p99"],
                cpu_milliseconds=cpu / load["logins"] * 1e3,
                busy=cpu / load["seconds"],
            ))
    print(f"{'':50}{'logins/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'busy':>6}")
    for name, title in TITLES.items():
        def median(attribute):
            return statistics.median(getattr(sample, attribute) for sample in samples[name])

        print(
            f"{title:50}{median('logins_per_second'):9,.0f} {median('p50_milliseconds'):8.1f}"
            f" {median('p99_milliseconds'):8.1f} {median('cpu_milliseconds'):8.2f}"
            f" {median('busy'):6.0%}"
        )
    return []


def crowd(rig, address, options):
    """What those who are signed in feel of many logins with large keys.

    The provider and the people who sign in need a processor too, on the core of those whose answers are measured.
    What comes of that alone is measured beside programs that do nothing but compute there, as many and as nice; what
    the crowd costs more than they do is the gateway's.
    """
    cookie = rig.sign_in(f"http://{address}", "lychgate")
    paced(rig, address, cookie, 1)
    p99 = {"alone": [], "beside others": [], "beside logins": []}
    for number in range(options.rounds):
        print(f"crowd: round {number + 1} of {options.rounds}", file=sys.stderr)
        p99["alone"].append(paced(rig, address, cookie, options.seconds)["p99"])
        with neighbours(rig):
            p99["beside others"].append(paced(rig, address, cookie, options.seconds)["p99"])
        logins = rig.begin_logins(
            address, STRONG, concurrency=options.crowd, logins=options.crowd
        )
        p99["beside logins"].append(paced(rig, address, cookie, options.seconds)["p99"])
        lasted = logins.poll() is None
        rig.finish(logins)
        if not lasted:
            print("          the logins were done before the turn was over", file=sys.stderr)

    def ratio(of, to):
        ratios = [own / other for own, other in zip(p99[of], p99[to])]
        return statistics.median(ratios), f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"

    alone, others, many = (statistics.median(values) / 1e3 for values in p99.values())
    felt, as_text = ratio("beside logins", "beside others")
    print(f"""
signed in, p99: {alone:.2f} ms alone; {others:.2f} ms beside programs that compute, {ratio("beside others", "alone")[1]} of alone;
                {many:.2f} ms beside {options.crowd:,} logins with RSA-4096, {as_text} of beside programs""")
    if felt > ALLOWED_RATIO:
        return [f"logins are felt by who is signed in: {felt:.2f}, and {ALLOWED_RATIO:.2f} is allowed"]
    return []


@contextlib.contextmanager
def neighbours(rig):
    """Programs that take of the load's core what the provider and a crowd take."""
    command = ["nice", "-n", "19", "taskset", "--cpu-list", str(rig.load_core)]
    command += [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        for _ in ("provider", "crowd"):
            program = stack.enter_context(subprocess.Popen(command))
            stack.callback(program.kill)
        yield


def paced(rig, address, cookie, seconds):
    command = [
        *("taskset", "--cpu-list", str(rig.load_core)),
        *("wrk", "--threads", "1", "--connections", str(PEOPLE), "--duration", f"{seconds}s"),
        *("--script", HERE / "wrk_paced.lua", "--header", f"Cookie: {cookie}"),
        *(f"http://{address}/", "--", str(PAUSE_MILLISECONDS)),
    ]
    wrk = subprocess.run(command, capture_output=True, text=True)
    if wrk.returncode != 0:
        raise Failed(f"wrk: {wrk.stderr or wrk.stdout}")
    counted = json.loads(wrk.stdout.splitlines()[-1])
    if counted["failed"] or not counted["requests"]:
        raise Failed(f"of {counted['requests']} requests of people signed in {counted['failed']} failed")
    return counted


def abandoned(rig, address, gateway, options):
    """Memory, after many who began to sign in and never came back, each from a network of their own."""
    def leave(logins):
        strict = max(1, logins // STRICT_SHARE)
        for name, part in ((PLAIN, logins - strict), (STRICT, strict)):
            plan = {"concurrency": CONCURRENCY, "logins": part, "abandon": True, "networks": True}
            rig.logins(address, name, **plan)

    before_count = max(2, options.abandoned * ABANDONED_BEFORE // ABANDONED)
    leave(before_count)
    before = resident_bytes(gateway.pid)
    leave(max(2, options.abandoned - before_count))
    after = resident_bytes(gateway.pid)
    growth = after / before
    print(
        f"memory: {before / 1e6:.1f} MB after {before_count:,} abandoned logins,"
        f" {after / 1e6:.1f} MB after {options.abandoned:,}; ratio {growth:.2f}"
    )
    if growth > ALLOWED_GROWTH:
        return [f"abandoned logins use memory up: {growth:.2f}, and {ALLOWED_GROWTH:.2f} is allowed"]
    return []


if __name__ == "__main__":
    main()
