"""What the gate costs: requests through Lychgate, a bare pingora proxy and nginx, side by side.

Called by `run.sh`, which builds the binaries; README.md says how to read what is printed. It exits
with 1 when a request was not answered by the upstream, or when too few of the bare proxy's requests
per second are left to somebody who is signed in.
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

from rig import BODY_BYTES, HERE, SIGNED_IN, Failed, Rig

CONNECTIONS = 64
WARM_UP_SECONDS = 2
# What has to be left of the bare proxy's requests per second.
REQUIRED_RATIO = 0.90


@dataclasses.dataclass(frozen=True)
class Sample:
    """One contender in one round."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    # Of the contender's process for each request, user and system.
    cpu_microseconds: float
    resident_megabytes: float


def main():
    options = arguments()
    # Whoever ends the script ends what it started.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit("bench: stopped"))
    try:
        with Rig(options.binaries) as rig:
            contenders = rig.contenders()
            print_setting(options, rig, contenders)
            samples = measure(rig, contenders, options)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    ratios = {contender.title: ratios_by_round(samples, contender) for contender in contenders}
    print_table(samples, ratios)
    signed_in = statistics.median(ratios[SIGNED_IN])
    if signed_in < REQUIRED_RATIO:
        sys.exit(f"bench: {SIGNED_IN}: {signed_in:.3f}, and {REQUIRED_RATIO:.3f} is required")


def arguments():
    parser = argparse.ArgumentParser(prog="cargo xtask bench", description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=at_least_one, default=3, help="of each turn; default: %(default)s"
    )
    return parser.parse_args()


def at_least_one(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def measure(rig, contenders, options):
    """The samples of each contender, by its title, round by round."""
    for contender in contenders:
        take_turn(rig, contender, WARM_UP_SECONDS)
    samples = {contender.title: [] for contender in contenders}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        # In turns, because the machine is not the same from one minute to the next, and with a new
        # first one each time, so that nobody has the same predecessor's leavings in every round.
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            samples[contender.title].append(take_turn(rig, contender, options.seconds))
    return samples


def take_turn(rig, contender, seconds):
    pid = contender.process.pid
    arrived, cpu = rig.requests_at_upstream(), cpu_seconds(pid)
    load = run_load(rig, contender, seconds)
    # The second question is counted by the upstream as well.
    arrived, cpu = rig.requests_at_upstream() - arrived - 1, cpu_seconds(pid) - cpu

    requests = load["requests"]
    # wrk takes a redirect for a success. But one that leads to sign-in never gets to the upstream,
    # and the upstream has no answer but 200.
    if load["failed"] or not 0 < requests <= arrived:
        raise Failed(
            f"{contender.title}: {requests} answers, {load['failed']} failures,"
            f" and {arrived} requests at the upstream"
        )
    return Sample(
        requests_per_second=requests / load["microseconds"] * 1e6,
        p50_milliseconds=load["p50"] / 1e3,
        p99_milliseconds=load["p99"] / 1e3,
        cpu_microseconds=cpu / requests * 1e6,
        resident_megabytes=resident_bytes(pid) / 1e6,
    )


def run_load(rig, contender, seconds):
    cookie = ["--header", f"Cookie: {contender.cookie}"] if contender.cookie else []
    command = [
        *("taskset", "--cpu-list", str(rig.load_core)),
        *("wrk", "--threads", "1", "--connections", str(CONNECTIONS)),
        *("--duration", f"{seconds}s", "--script", HERE / "wrk_summary.lua"),
        *cookie,
        contender.url,
    ]
    wrk = subprocess.run(command, capture_output=True, text=True)
    if wrk.returncode != 0:
        raise Failed(f"wrk against {contender.title}: {wrk.stderr or wrk.stdout}")
    return json.loads(wrk.stdout.splitlines()[-1])


def cpu_seconds(pid):
    """User and system time of all threads so far (proc_pid_stat(5), fields 14 and 15)."""
    # The second field is a name, which may hold anything, and ends with the last parenthesis.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    pages = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def ratios_by_round(samples, contender):
    """How much of its baseline's requests per second a contender reaches.

    By round, because two turns of one round saw more or less the same machine. The median of these
    is steadier than the ratio of the medians.
    """
    pairs = zip(samples[contender.title], samples[contender.baseline], strict=True)
    return [own.requests_per_second / baseline.requests_per_second for own, baseline in pairs]


def print_setting(options, rig, contenders):
    cookie = max(len(contender.cookie or "") for contender in contenders)
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    lock = (HERE.parent / "Cargo.lock").read_text()
    pingora = re.search(r'name = "pingora-core"\nversion = "(.*)"', lock)
    versions = [
        first_line(rig.binaries / "lychgate", "--version"),
        f"pingora {pingora[1]}",
        first_line("nginx", "-v").removeprefix("nginx version: "),
        first_line("wrk", "-v").partition(" [")[0],
    ]
    print(f"""
machine   {model[1] if model else platform.machine()}, {os.cpu_count()} cores, \
Linux {platform.release()}, load average {os.getloadavg()[0]:.2f}
versions  {", ".join(versions)}
load      {CONNECTIONS} connections, answers of {BODY_BYTES} bytes, cookie of {cookie}; \
{options.rounds} rounds, turns of {options.seconds} s
cores     {rig.load_core}: load and upstream, {rig.contender_core}: who is measured, with one worker
""", flush=True)


def first_line(*command):
    """How a program introduces itself, whichever stream it takes and however it ends."""
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return next(iter(said.stdout.splitlines()), "")


def print_table(samples, ratios):
    heads = ("req/s", "ratio", "of rounds", "p50 ms", "p99 ms", "CPU µs", "RSS MB")
    print(f"{'':30}{heads[0]:>8}{heads[1]:>7}{heads[2]:>11}", *(f"{head:>7}" for head in heads[3:]))
    for title, rounds in samples.items():
        def median(attribute):
            return statistics.median(getattr(sample, attribute) for sample in rounds)

        of_rounds = f"{min(ratios[title]):.2f}–{max(ratios[title]):.2f}"
        print(
            f"{title:30}{median('requests_per_second'):8,.0f}"
            f"{statistics.median(ratios[title]):7.3f}{of_rounds:>11}",
            f"{median('p50_milliseconds'):7.2f} {median('p99_milliseconds'):7.2f}",
            f"{median('cpu_microseconds'):7.1f} {median('resident_megabytes'):7.1f}",
        )


if __name__ == "__main__":
    main()
