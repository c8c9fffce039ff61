"""What the gate costs: requests through Lychgate, a bare pingora proxy and others, side by side.

Called by `run.sh`, which builds the binaries; README.md says how to read what is printed. It exits
with 1 when a request was not answered by the upstream, or when a bound is missed that this project
has set itself.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys

from contenders import (
    AUTH_REQUEST, BARE_WITH_COOKIE, MOD_AUTH_OPENIDC, OAUTH2, OAUTH2_PROXY, SIGNED_IN, Contenders,
)
from rig import ANSWERS, HERE, Failed, family, first_line, stat_fields

WARM_UP_SECONDS = 2
CONNECTIONS, ANSWER_BYTES = 64, 256


@dataclasses.dataclass(frozen=True)
class Sample:
    """One contender in one round."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    # Of all of the contender's processes for each request, user and system.
    cpu_microseconds: float
    resident_megabytes: float


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the load is like. Each has a table of its own."""

    connections: int = CONNECTIONS
    answer_bytes: int = ANSWER_BYTES
    tls: bool = False

    @property
    def is_judged(self):
        """Whether the bounds are about it. With large answers, or with one connection that waits for
        every answer, the machine is busy with something else than what they limit."""
        return self.answer_bytes == ANSWER_BYTES and self.connections >= CONNECTIONS

    @property
    def handshake_seconds(self):
        """What its turns are longer by, so that they are not mostly handshakes."""
        return self.connections // 250 if self.tls else 0

    def __str__(self):
        over = "TLS" if self.tls else "plain text"
        return f"{self.connections} connections, answers of {self.answer_bytes} bytes, {over}"


@dataclasses.dataclass(frozen=True)
class Bound:
    """What the signed-in row must reach against another one."""

    against: str
    of: str
    # Of one's own sample and the other's.
    ratio: callable
    least: float = 0
    most: float = float("inf")

    def __str__(self):
        limit = f"at least {self.least}" if self.least else f"at most {self.most}"
        return f"{self.of} against {self.against}, {limit}"


def throughput(own, other):
    return own.requests_per_second / other.requests_per_second


BOUNDS = (
    Bound(BARE_WITH_COOKIE, "requests per second", throughput, least=0.90),
    Bound(
        BARE_WITH_COOKIE,
        "requests per CPU second",
        lambda own, other: other.cpu_microseconds / own.cpu_microseconds,
        least=0.95,
    ),
    Bound(
        BARE_WITH_COOKIE,
        "p99",
        lambda own, other: own.p99_milliseconds / other.p99_milliseconds,
        most=1.1,
    ),
    Bound(AUTH_REQUEST, "requests per second", throughput, least=1.3),
    Bound(MOD_AUTH_OPENIDC, "requests per second", throughput, least=8),
    Bound(OAUTH2, "requests per second", throughput, least=3),
)
# What `--all` measures: the usual setting, and what people are served with.
ALL_SETTINGS = (
    Setting(),
    *(
        Setting(connections, answer_bytes, tls=True)
        for answer_bytes in ANSWERS
        for connections in (1, 100, 1000)
    ),
)


def main():
    options = arguments()
    # Whoever ends the script ends what it started.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit("bench: stopped"))
    print_machine(options)
    missed = []
    try:
        # Who speaks TLS is set up, and signed in to, once for all settings with it.
        for tls in sorted({setting.tls for setting in options.settings}):
            with Contenders(options.binaries, tls) as rig:
                contenders = rig.all(options.peers)
                for setting in options.settings:
                    if setting.tls == tls:
                        missed += report(rig, chosen(contenders, options), setting, options)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    if missed:
        sys.exit("\n".join(["bench: these bounds are missed:", *missed]))


def arguments():
    parser = argparse.ArgumentParser(
        prog="cargo xtask bench",
        description=__doc__.splitlines()[0],
        epilog="Several values are separated by commas: every combination is measured.",
    )
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=at_least_one, default=3, help="of each turn; default: %(default)s"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also nginx with auth_request, HAProxy, mod_auth_openidc and oauth2-proxy",
    )
    parser.add_argument(
        "--connections",
        type=several(at_least_one),
        default=[CONNECTIONS],
        help=f"how many are kept busy; default: {CONNECTIONS}",
    )
    parser.add_argument(
        "--bytes",
        type=several(size_of_answer),
        default=[ANSWER_BYTES],
        help=f"the size of the answer, {' or '.join(map(str, ANSWERS))}; default: {ANSWER_BYTES}",
    )
    parser.add_argument(
        "--tls", type=several(on_or_off), default=[False], help="on or off; default: off"
    )
    parser.add_argument(
        "--only",
        type=several(str),
        metavar="TITLES",
        help="only rows whose titles contain one of these, beside those they are compared with",
    )
    parser.add_argument(
        "--all", action="store_true", help="--peers in all settings of the README; takes 55 minutes"
    )
    options = parser.parse_args()
    options.settings = [
        Setting(connections, answer_bytes, tls)
        for tls in options.tls
        for answer_bytes in options.bytes
        for connections in options.connections
    ]
    if options.all:
        options.peers, options.settings = True, ALL_SETTINGS
    return options


def several(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def at_least_one(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def size_of_answer(text):
    if int(text) not in ANSWERS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(map(str, ANSWERS))}")
    return int(text)


def on_or_off(text):
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError("must be on or off")
    return text == "on"


def chosen(contenders, options):
    """Those that were asked for, and those that they are held against."""
    if not options.only:
        return contenders
    wanted = {
        contender.title
        for contender in contenders
        if any(part.strip() in contender.title for part in options.only)
    }
    baselines = {it.baseline for it in contenders if it.title in wanted}
    return [contender for contender in contenders if contender.title in wanted | baselines]


def report(rig, contenders, setting, options):
    """Measures and prints one table; returns the bounds that were missed."""
    print_setting(setting, rig, contenders)
    samples = measure(rig, contenders, setting, options)
    print_table(contenders, samples)
    return print_bounds(samples, setting)


def measure(rig, contenders, setting, options):
    """The samples of each contender, by its title, round by round.

    Without those of other people's programs that failed: what they cannot do is said, and the run
    goes on.
    """
    samples = {}
    failed = set()

    def attempt(contender, seconds):
        if contender.title in failed:
            return
        try:
            sample = take_turn(rig, contender, setting, seconds)
        except Failed as failure:
            if not contender.may_fail:
                raise
            failed.add(contender.title)
            samples.pop(contender.title, None)
            print(f"left out: {failure}", flush=True)
            return
        samples.setdefault(contender.title, []).append(sample)

    for contender in contenders:
        attempt(contender, WARM_UP_SECONDS)
    for rounds in samples.values():
        rounds.clear()
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        # In turns, because the machine is not the same from one minute to the next, and with a new
        # first one each time, so that nobody has the same predecessor's leavings in every round.
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            attempt(contender, options.seconds)
    return samples


def take_turn(rig, contender, setting, seconds):
    pid = contender.process.pid
    arrived, cpu = rig.requests_at_upstream(), cpu_seconds(pid)
    load = run_load(rig, contender, setting, seconds)
    # The second question is counted by the upstream as well.
    arrived, cpu = rig.requests_at_upstream() - arrived - 1, cpu_seconds(pid) - cpu

    requests = load["requests"]
    # wrk takes a redirect for a success. But one that leads to sign-in never gets to the upstream,
    # and the upstream has no answer but 200 to what is asked here.
    if load["failed"] or not 0 < requests <= arrived:
        raise Failed(
            f"{contender.title}: {requests} answers, {load['failed']} failures,"
            f" and {arrived} requests at the upstream"
        )
    # A smaller answer than was asked for would be somebody's own page.
    if load["bytes"] < requests * setting.answer_bytes:
        raise Failed(f"{contender.title}: {load['bytes']} bytes are no {requests} answers")
    return Sample(
        requests_per_second=requests / load["microseconds"] * 1e6,
        p50_milliseconds=load["p50"] / 1e3,
        p99_milliseconds=load["p99"] / 1e3,
        cpu_microseconds=cpu / requests * 1e6,
        resident_megabytes=resident_bytes(pid) / 1e6,
    )


def run_load(rig, contender, setting, seconds):
    cookie = ["--header", f"Cookie: {contender.cookie}"] if contender.cookie else []
    command = [
        *("taskset", "--cpu-list", str(rig.load_core)),
        *("wrk", "--threads", "1", "--connections", str(setting.connections)),
        # Before a request counts as failed: a slow program with a thousand of them is only slow.
        *("--duration", f"{seconds + setting.handshake_seconds}s", "--timeout", "30s"),
        *("--script", HERE / "wrk_summary.lua"),
        *cookie,
        contender.url(setting.answer_bytes),
    ]
    wrk = subprocess.run(command, capture_output=True, text=True)
    if wrk.returncode != 0:
        raise Failed(f"wrk against {contender.title}: {wrk.stderr or wrk.stdout}")
    return json.loads(wrk.stdout.splitlines()[-1])


def cpu_seconds(pid):
    """User and system time so far, all threads of all processes (proc_pid_stat(5), fields 14 and 15).

    With what was spent by processes that are gone and were waited for (fields 16 and 17).
    """
    ticks = 0
    for member in family(pid):
        fields = stat_fields(pathlib.Path(f"/proc/{member}/stat"))
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    """What the processes keep in memory, and what they share only once (proc_pid_smaps(5))."""
    kibibytes = 0
    for member in family(pid):
        rollup = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text()
        kibibytes += int(re.search(r"\nPss: +(\d+) kB", rollup)[1])
    return kibibytes * 1024


def ratios_by_round(samples, own, other, ratio=throughput):
    """How much of another one's requests per second, or of whatever else, a contender reaches.

    By round, because two turns of one round saw more or less the same machine. The median of these
    is steadier than the ratio of the medians.
    """
    return [ratio(*pair) for pair in zip(samples[own], samples[other], strict=True)]


def print_machine(options):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    lock = (HERE.parent / "Cargo.lock").read_text()
    pingora = re.search(r'name = "pingora-core"\nversion = "(.*)"', lock)
    versions = [
        first_line(options.binaries / "lychgate", "--version"),
        f"pingora {pingora[1]}",
        first_line("nginx", "-v").removeprefix("nginx version: "),
        first_line("wrk", "-v").partition(" [")[0],
    ]
    if options.peers:
        openidc = ("dpkg-query", "--show", "--showformat=${Version}", "libapache2-mod-auth-openidc")
        versions += [
            first_line("haproxy", "-v").partition(" 20")[0],
            first_line("apache2", "-v").removeprefix("Server version: "),
            f"mod_auth_openidc {first_line(*openidc)}",
            f"oauth2-proxy {oauth2_proxy_version()}",
        ]
    print(f"""
machine   {model[1] if model else platform.machine()}, {os.cpu_count()} cores, \
Linux {platform.release()}, load average {os.getloadavg()[0]:.2f}
versions  {", ".join(versions)}
measured  {options.rounds} rounds, turns of {options.seconds} s""", flush=True)


def oauth2_proxy_version():
    """As Go's module proxy knows it; the program itself is told only by its makers' own build."""
    said = subprocess.run(["go", "version", "-m", OAUTH2_PROXY], capture_output=True, text=True)
    found = re.search(r"\n\tmod\t\S+\t(\S+)", said.stdout)
    return found[1] if found else "of an unknown version"


def print_setting(setting, rig, contenders):
    sizes = sorted({len(contender.cookie) for contender in contenders if contender.cookie})
    print(f"""
load      {setting}, cookies of {" and ".join(map(str, sizes))} bytes
cores     {rig.load_core}: load and upstream, {rig.contender_core}: who is measured, with one worker
""", flush=True)


def print_table(contenders, samples):
    heads = ("req/s", "ratio", "of rounds", "p50 ms", "p99 ms", "CPU µs", "RSS MB")
    print(f"{'':30}{heads[0]:>8}{heads[1]:>7}{heads[2]:>11}", *(f"{head:>7}" for head in heads[3:]))
    for contender in contenders:
        if contender.title not in samples:
            continue
        rounds = samples[contender.title]
        ratios = ratios_by_round(samples, contender.title, contender.baseline)

        def median(attribute):
            return statistics.median(getattr(sample, attribute) for sample in rounds)

        of_rounds = f"{min(ratios):.2f}–{max(ratios):.2f}"
        print(
            f"{contender.title:30}{median('requests_per_second'):8,.0f}"
            f"{statistics.median(ratios):7.3f}{of_rounds:>11}",
            f"{median('p50_milliseconds'):7.2f} {median('p99_milliseconds'):7.2f}",
            f"{median('cpu_microseconds'):7.1f} {median('resident_megabytes'):7.1f}",
            flush=True,
        )


def print_bounds(samples, setting):
    """Holds the signed-in row against the bounds whose rows were measured."""
    missed = []
    bounds = [it for it in BOUNDS if {SIGNED_IN, it.against} <= samples.keys()]
    if bounds:
        print(f"\n{SIGNED_IN}:")
    for bound in bounds:
        ratios = ratios_by_round(samples, SIGNED_IN, bound.against, bound.ratio)
        ratio = statistics.median(ratios)
        is_met = bound.least <= ratio <= bound.most
        verdict = "met" if is_met else "MISSED" if setting.is_judged else "missed, not judged here"
        line = f"{ratio:8.3f} ({min(ratios):.2f}–{max(ratios):.2f} of rounds)  {bound}"
        print(f"{line}: {verdict}", flush=True)
        if not is_met and setting.is_judged:
            missed.append(f"{line}; {setting}")
    return missed


if __name__ == "__main__":
    main()
