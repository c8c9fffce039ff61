"""What a request costs in instructions and heap allocations: numbers that a busy machine does not move.

Called by `run.sh instructions`. Each program runs under callgrind, answers N requests, then twice as
many, and what the second lot cost more than the first is what N requests cost: starting, signing in,
timers and taking the count itself fall out. README.md says what the numbers can and cannot tell.

It exits with 1 when a signed-in request allocates more than is allowed above the bare proxy's.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

from contenders import BARE_WITH_COOKIE, CALLBACKS, SIGNED_IN, Contenders
from rig import Failed, first_line, free_address

# callgrind makes everything some fifty times slower.
START_SECONDS = 300
ANSWER_SECONDS = 60
# Caches, tables of connections and the allocator's own pools are filled before anything is counted.
WARM_UP_REQUESTS = 500
# How many heap allocations a signed-in request may make above the bare proxy's own.
ALLOWED_ALLOCATIONS = 40
# What a program calls to get memory: jemalloc's under the names of its crate, and libc's for
# libraries that are not Rust. What these call in turn is the same allocation once more.
ALLOCATORS = re.compile(
    r"(_rjem_)?(malloc|mallocx|calloc|realloc|rallocx|posix_memalign|aligned_alloc|memalign)"
)
# With `--caches`: a core's own caches as many servers have them, 64-byte lines; the last one stands for
# the second level, behind which everybody else's programs are.
CACHES = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64"]
# What one connection needs stays in the caches; this many push each other out, as in the other benchmark.
CONNECTIONS_WITH_CACHES = 64
# The counters that are shown, and what each is of.
MISSES = {
    "first level, code": ["I1mr"],
    "first level, data": ["D1mr", "D1mw"],
    "second level, code": ["ILmr"],
    "second level, data": ["DLmr", "DLmw"],
}
REQUEST = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{cookie}\r\n"


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a program did until its counters were taken and set to zero."""

    # Instructions of each function without those of the functions that it calls.
    instructions: collections.Counter
    # How often each function was called, calls by allocators left out.
    calls: collections.Counter
    # How often each event happened in all: `Ir` and, where caches are simulated, misses.
    events: collections.Counter

    def per_request(self, shorter, requests):
        """What each of `requests` more than in the shorter profile cost."""

        def difference(longer, shorter):
            names = longer.keys() | shorter.keys()
            return {name: (longer[name] - shorter[name]) / requests for name in names}

        return Cost(
            difference(self.instructions, shorter.instructions),
            difference(self.calls, shorter.calls),
            difference(self.events, shorter.events),
        )


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one request."""

    by_function: dict[str, float]
    calls: dict[str, float]
    events: dict[str, float]

    @property
    def instructions(self):
        return sum(self.by_function.values())

    @property
    def allocations(self):
        return sum(count for name, count in self.calls.items() if is_allocator(name))


def main():
    options = arguments()
    # Whoever ends the script ends what it started.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit("bench: stopped"))
    try:
        with Callgrind(options) as rig:
            costs = dict(measure(rig, options))
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    bare, signed_in = costs[BARE_WITH_COOKIE], costs[SIGNED_IN]
    print_costs(options, costs, bare)
    if options.caches:
        print_misses(costs)
    if options.functions:
        print_functions(signed_in, bare, options.functions)

    more = signed_in.allocations - bare.allocations
    if more > ALLOWED_ALLOCATIONS:
        sys.exit(
            f"bench: {SIGNED_IN}: {more:.1f} heap allocations above the bare proxy's own,"
            f" and {ALLOWED_ALLOCATIONS} are allowed"
        )


def arguments():
    parser = argparse.ArgumentParser(
        prog="cargo xtask bench instructions", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--requests", type=int, default=1000, help="how many each count is about; default: %(default)s"
    )
    parser.add_argument(
        "--functions",
        type=int,
        default=0,
        metavar="N",
        help="also print the N functions in which a signed-in request spends most more than the bare proxy's",
    )
    parser.add_argument(
        "--caches",
        action="store_true",
        help=f"also simulate caches, and let {CONNECTIONS_WITH_CACHES} connections take turns",
    )
    parser.add_argument(
        "--keep", type=pathlib.Path, metavar="DIRECTORY",
        help="where the profiles are left for callgrind_annotate or KCachegrind",
    )
    options = parser.parse_args()
    if options.requests < 100:
        parser.error("fewer than 100 requests drown in what happens beside them")
    return options


class Callgrind(Contenders):
    """A rig whose programs of ours run under callgrind."""

    start_seconds = START_SECONDS

    def __init__(self, options):
        super().__init__(options.binaries)
        self.keep = options.keep
        self.caches = CACHES if options.caches else []
        if self.keep:
            self.keep.mkdir(parents=True, exist_ok=True)

    def start_ours(self, name, command, ready):
        """Starts one of our programs, counted from the beginning."""
        callgrind = [
            *("valgrind", "--tool=callgrind", "--quiet", "--dump-line=no"),
            # Recursion is of no interest here, and a function is then one function.
            "--separate-recs=1",
            *self.caches,
            f"--callgrind-out-file={self.directory / name}.callgrind",
            f"--vgdb-prefix={self.directory}/vgdb",
        ]
        return super().start_ours(name, [*callgrind, *command], ready)

    def take(self, name, process, label):
        """The counters since they were last taken."""
        command = ["vgdb", f"--vgdb-prefix={self.directory}/vgdb", f"--pid={process.pid}", "dump", label]
        taken = subprocess.run(command, capture_output=True, text=True)
        dumps = list(self.directory.glob(f"{name}.callgrind.*"))
        if taken.returncode != 0 or len(dumps) != 1:
            raise Failed(f"the counters of {name} cannot be taken:\n{taken.stderr}{taken.stdout}")
        profile = read_profile(dumps[0])
        if self.keep:
            shutil.move(dumps[0], self.keep / f"{name}-{label}.callgrind")
        else:
            dumps[0].unlink()
        return profile


def measure(rig, options):
    """What a request costs, by title. One program after the other, so that they do not wait."""
    bare = free_address()
    process = rig.start_bare(bare)
    gateway = free_address()
    issuer = rig.start_provider([f"http://{gateway}{CALLBACKS['gateway']}"])
    gateway_process = rig.start_lychgate("gateway", gateway, issuer, "none")
    cookie = rig.lychgate_cookie(f"http://{gateway}")

    yield BARE_WITH_COOKIE, count(rig, "bare", process, bare, "/", cookie, options.requests)
    for title, path in (("lychgate, public, same cookie", "/public/"), (SIGNED_IN, "/")):
        yield title, count(rig, "gateway", gateway_process, gateway, path, cookie, options.requests)


def count(rig, name, process, address, path, cookie, requests):
    print(f"counting {name} {path}", file=sys.stderr)
    host, port = address.split(":")
    request = REQUEST.format(path=path, host=address, cookie=f"Cookie: {cookie}\r\n").encode()
    arrived = rig.requests_at_upstream()
    total = WARM_UP_REQUESTS + 3 * requests
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS))
            for _ in range(CONNECTIONS_WITH_CACHES if rig.caches else 1)
        ]
        ask(connections, request, WARM_UP_REQUESTS)
        rig.take(name, process, "warm-up")
        ask(connections, request, requests)
        shorter = rig.take(name, process, f"{path.strip('/') or 'root'}-{requests}")
        ask(connections, request, 2 * requests)
        longer = rig.take(name, process, f"{path.strip('/') or 'root'}-{2 * requests}")
    # The second question is counted by the upstream as well.
    arrived = rig.requests_at_upstream() - arrived - 1
    if arrived != total:
        raise Failed(f"{name}: {total} requests were sent and {arrived} came to the upstream")
    return longer.per_request(shorter, requests)


def ask(connections, request, times):
    """Sends a request so many times, on each connection in turn, each after the answer to the one before."""
    for _, connection in zip(range(times), itertools.cycle(connections)):
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += receive(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            raise Failed(f"not an answer of the upstream:\n{head.decode(errors='replace')}")
        missing = int(length[1]) - len(body)
        while missing > 0:
            missing -= len(receive(connection))


def receive(connection):
    received = connection.recv(65536)
    if not received:
        raise Failed("the connection was closed in the middle of the measurement")
    return received


def read_profile(file):
    """Reads what callgrind has written (the format is in Valgrind's manual, "Callgrind Format").

    A name is given once, with a number, and the number is used from then on. After `calls=` comes one
    line about all that the called function cost, which is not the caller's own.
    """
    instructions, calls, events = (collections.Counter() for _ in range(3))
    kinds, names = ["Ir"], {}
    function = called = None
    skip = False

    def name_of(text):
        number, _, name = text.partition(" ")
        if name:
            # Recursion levels are written as name'2.
            names[number] = re.sub(r"'\d+$", "", name)
        return names[number]

    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in map(str.strip, lines):
            if line[:1].isdigit() or line[:1] in ("+", "-", "*"):
                if not skip:
                    # Zeros at the end are left out.
                    counts = [int(count) for count in line.split()[1:]]
                    instructions[function] += counts[0] if counts else 0
                    events.update(dict(zip(kinds, counts)))
                skip = False
                continue
            if line.startswith("events: "):
                kinds = line.split()[1:]
            key, _, value = line.partition("=")
            if key == "fn":
                function = name_of(value)
            elif key == "cfn":
                called = name_of(value)
            elif key == "calls":
                if not is_allocator(function):
                    calls[called] += int(value.split()[0])
                skip = True
    return Profile(instructions, calls, events)


def is_allocator(name):
    return ALLOCATORS.fullmatch(name) is not None


def print_costs(options, costs, bare):
    connections = f"{CONNECTIONS_WITH_CACHES} connections" if options.caches else "one connection"
    print(f"""
versions  {first_line(options.binaries / "lychgate", "--version")}, {first_line("valgrind", "--version")}
load      {options.requests} requests on {connections}, answers of 256 bytes; \
the session was seen before

{'for each request':30}{'instructions':>13}{'ratio':>7}{'allocations':>13}{'more':>7}""")
    for title, cost in costs.items():
        print(
            f"{title:30}{cost.instructions:13,.0f}{bare.instructions / cost.instructions:7.3f}"
            f"{cost.allocations:13.1f}{cost.allocations - bare.allocations:7.1f}"
        )


def print_misses(costs):
    """What a request does not find in a core's own caches: 64 bytes each, a few or some fifty cycles away."""
    print(f"\n{'lines not found, each request':30}" + "".join(f"{title:>20}" for title in MISSES))
    for title, cost in costs.items():
        misses = (sum(cost.events[event] for event in events) for events in MISSES.values())
        print(f"{title:30}" + "".join(f"{count:20,.0f}" for count in misses))


def print_functions(signed_in, bare, number):
    """Where a signed-in request spends more than the bare proxy does."""
    def more(name):
        return signed_in.by_function.get(name, 0) - bare.by_function.get(name, 0)

    names = sorted(signed_in.by_function.keys() | bare.by_function.keys(), key=more, reverse=True)
    print(f"\n{'more than bare':>14}{'signed in':>11}{'calls':>8}  function, without those it calls")
    for name in names[:number]:
        own, calls = signed_in.by_function.get(name, 0), signed_in.calls.get(name, 0)
        print(f"{more(name):14,.0f}{own:11,.0f}{calls:8.1f}  {name}")


if __name__ == "__main__":
    main()
