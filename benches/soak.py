"""What the gate weighs: at rest, under thousands of connections that do nothing, and over a long mixed load.

    cargo xtask bench soak [--minutes M] [--connections N]

The load is a mixture that a gate meets in its life, all at once: people who are signed in, public
pages, people from everywhere who begin to sign in and never come back, cookies that are forged, addresses
that are nothing, headers that drip or are too long, answers that nobody reads, connections that are
opened and left, requests that are no HTTP, and two floods of HTTP/2 (K1 to K4, K6, K7, R33 and R34 of
docs/reference/reliability.md). Memory is read once a second. At the end the table says how it went, and
the exit code is 1 where a target is missed.
"""

import argparse
import contextlib
import ipaddress
import os
import pathlib
import re
import resource
import secrets
import signal
import socket
import statistics
import sys
import threading
import time

from contenders import CALLBACKS, Contenders
from measure import resident_bytes
from rig import Failed, free_address, listens

MIB = 1 << 20
KIB = 1 << 10

IDLE_BYTES_MAX = 20 * MIB
CONNECTION_BYTES_MAX = 28 * KIB
# What has to be given back of the memory of connections that were closed.
GIVEN_BACK_MIN = 0.5
# A slope below this cannot be told from the allocator's own comings and goings.
SLOPE_BYTES_PER_HOUR_MAX = 4 * MIB
# The first part of a soak fills what is bounded by time and not by number. On several processors the longest
# of these times is that of connections to an application that wait to be used again: there pingora keeps a
# timer for each hundredth of a second in which one began to wait, until the five minutes of `timeouts.idle`
# are over.
WARM_UP_SHARE = 1 / 3
WARM_UP_SECONDS = 330
# What the slope goes through are means of so many seconds.
PIECE_SECONDS = 30
# Decay of what the allocator keeps for the next crowd.
SETTLING_SECONDS = 15
# No second of a soak is without an answer for longer than this.
SOCKET_SECONDS = 20


def main():
    options = arguments()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit("soak: stopped"))
    raise_descriptors(options.connections * 2 + 512)
    try:
        with Contenders(options.binaries) as rig:
            missed = soak(rig, options)
    except Failed as failure:
        sys.exit(f"soak: {failure}")
    if missed:
        sys.exit(f"soak: missed: {', '.join(missed)}")


def arguments():
    parser = argparse.ArgumentParser(prog="cargo xtask bench soak", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=30, help="length of the mixed load, 8 at least; default: %(default)s"
    )
    parser.add_argument("--connections", type=int, default=5000, help="how many do nothing")
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes < 8:
        parser.error("in fewer than 8 minutes nothing can be said of the slope")
    return options


def raise_descriptors(wanted):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        sys.exit(f"soak: {wanted} file descriptors are needed, and {most} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def soak(rig, options):
    address = free_address()
    origin = f"http://{address}"
    issuer = rig.start_provider([origin + CALLBACKS["gateway"]])
    # Everybody comes from elsewhere, and what happens to them is written down and not kept.
    process = rig.start_lychgate(
        "gateway", address, issuer, "/dev/null", trusted="127.0.0.1/32", audit_log="/dev/null"
    )
    # `taskset` has become the gateway by the time that somebody listens.
    pid = process.pid
    settled(pid)
    idle = resident_bytes(pid)
    cookie = rig.lychgate_cookie(origin)
    before = settled(pid)
    held = [guest(address, cookie) for _ in range(options.connections)]
    full = anonymous_bytes(pid)
    for connection in held:
        connection.close()
    after = settled(pid)
    each = (full - before) / options.connections if options.connections else 0
    given_back = (full - after) / (full - before) if full > before else 1.0

    load = Load(address, cookie)
    samples = load.run(pid, options.minutes * 60)
    if process.poll() is not None:
        raise Failed(f"the gateway has ended:\n{rig.last_words('gateway')}")
    if not listens(address):
        raise Failed("the gateway no longer answers")
    warm_up = max(options.minutes * 60 * WARM_UP_SHARE, WARM_UP_SECONDS)
    slope, spread = trend(samples, warm_up)
    weights = [weight for _, weight in samples]

    missed = []
    rows = [
        ("idle", f"{idle / MIB:.1f} MB", f"< {IDLE_BYTES_MAX / MIB:.0f} MB", idle < IDLE_BYTES_MAX),
        (
            f"each of {options.connections} connections that do nothing",
            f"{each / KIB:.1f} KiB",
            f"< {CONNECTION_BYTES_MAX / KIB:.0f} KiB",
            each < CONNECTION_BYTES_MAX,
        ),
        (
            "given back when they are closed",
            f"{given_back:.0%}",
            f"> {GIVEN_BACK_MIN:.0%}",
            given_back > GIVEN_BACK_MIN or full - before < MIB,
        ),
        (
            f"slope of the load after {warm_up / 60:.1f} min",
            f"{slope / MIB:+.1f} ± {spread / MIB:.1f} MB/h",
            f"< {SLOPE_BYTES_PER_HOUR_MAX / MIB:.0f} MB/h",
            # What is less than its own spread says nothing: a short soak has a wide one.
            slope - 2 * spread < SLOPE_BYTES_PER_HOUR_MAX,
        ),
        ("of that, at the most and in the end",
         f"{max(weights) / MIB:.1f}, {weights[-1] / MIB:.1f} MB", "", True),
        ("answers that were not the right ones", f"{load.wrong}", "0", load.wrong == 0),
    ]
    for title, found, target, met in rows:
        print(f"{title:<48} {found:>20}   {target:>10}   {'' if met else 'MISSED'}")
        if not met:
            missed.append(title)
    print("requests: " + ", ".join(f"{name} {count}" for name, count in load.counts.items()))
    for what in sorted(load.complaints)[:10]:
        print(f"wrong: {what}")
    return missed


def anonymous_bytes(pid):
    """What the process keeps in memory that is in no file: what can grow (proc_pid_smaps(5)).

    The program's own pages are not in it. They are shared with whoever runs it too, and a share changes
    as others come and go.
    """
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"\nAnonymous: +(\d+) kB", rollup)[1]) * KIB


def settled(pid):
    """The memory that can grow, once it has stopped to fall."""
    until = time.monotonic() + SETTLING_SECONDS
    lowest = anonymous_bytes(pid)
    while time.monotonic() < until:
        time.sleep(0.5)
        lowest = min(lowest, anonymous_bytes(pid))
    return lowest


def trend(samples, warm_up):
    """The slope of the memory in bytes an hour, from `warm_up` seconds on, and its standard error.

    Of the means of half minutes: what one second sees is much what the second before saw, and an error
    that takes them for independent is far too small.
    """
    pieces = {}
    for seconds, weight in samples:
        if seconds >= warm_up:
            pieces.setdefault(seconds // PIECE_SECONDS, []).append(weight)
    if len(pieces) < 3:
        raise Failed("the load has not lasted long enough for a slope")
    values = list(map(statistics.fmean, pieces.values()))
    slope, intercept = statistics.linear_regression(list(pieces), values)
    errors = [value - (intercept + slope * at) for at, value in zip(pieces, values)]
    middle = statistics.fmean(pieces)
    spread = sum((at - middle) ** 2 for at in pieces)
    error = (sum(e * e for e in errors) / (len(values) - 2) / spread) ** 0.5
    an_hour = 3600 / PIECE_SECONDS
    return slope * an_hour, error * an_hour


def connect(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=SOCKET_SECONDS)


def request(address, path, *more):
    lines = [f"GET {path} HTTP/1.1", f"Host: {address}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(kind, flags, stream, payload):
    """A frame of HTTP/2 (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def guest(address, cookie):
    """A connection with one answered request, which stays open."""
    connection = connect(address)
    connection.sendall(request(address, "/", f"Cookie: {cookie}"))
    status, _ = answer(connection)
    if status != 200:
        raise Failed(f"a guest is answered with {status}")
    return connection


def answer(connection):
    """The status of one answer, and whether another may follow. Its body is read to the end."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before an answer")
        heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    headers = dict(
        line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
    )
    left = int(headers.get(b"content-length", b"0")) - len(body)
    while left > 0:
        left -= len(connection.recv(65536)) or left
    return status, headers.get(b"connection") != b"close"


class Load:
    """A mixture of everybody, each in a thread that begins again when it is done."""

    def __init__(self, address, cookie):
        self.address = address
        self.cookie = cookie
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.counts = {}
        self.complaints = set()
        self.wrong = 0

    def run(self, pid, seconds):
        everybody = [
            (2, "signed in", self.signed_in),
            (1, "public", self.public),
            (2, "beginnings", self.beginnings),
            (1, "nothing there", self.nothing_there),
            (2, "dripping", self.dripping),
            (1, "left open", self.left_open),
            (1, "no HTTP", self.no_http),
            (1, "forged", self.forged),
            (1, "too long", self.too_long),
            (1, "unread", self.unread),
            (1, "taken back", self.taken_back),
            (1, "unfolding", self.unfolding),
        ]
        threads = [
            threading.Thread(target=self.again_and_again, args=(name, act), daemon=True)
            for count, name, act in everybody
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        samples = []
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            samples.append((passed, anonymous_bytes(pid)))
            time.sleep(1)
        self.over.set()
        for thread in threads:
            thread.join(timeout=SOCKET_SECONDS * 2)
        return samples

    def again_and_again(self, name, act):
        number = 0
        while not self.over.is_set():
            number += 1
            try:
                done = act(number)
            except (OSError, ValueError) as error:
                done = 0
                self.complain(f"{name}: {error!r}")
            with self.lock:
                self.counts[name] = self.counts.get(name, 0) + done

    def complain(self, what):
        with self.lock:
            self.wrong += 1
            self.complaints.add(what)

    def converse(self, requests, expected):
        """Some requests over one connection, and how many were made."""
        with contextlib.closing(connect(self.address)) as connection:
            for done, bytes_ in enumerate(requests, start=1):
                connection.sendall(bytes_)
                status, stays = answer(connection)
                if status not in expected:
                    self.complain(f"{bytes_.split(b' ')[1].decode()}: {status}")
                if not stays or self.over.is_set():
                    break
        return done

    def signed_in(self, number):
        path = f"/{number}"
        return self.converse([request(self.address, path, f"Cookie: {self.cookie}")] * 200, {200})

    def public(self, number):
        return self.converse([request(self.address, f"/public/{number}")] * 200, {200})

    def beginnings(self, number):
        pages = (
            request(
                self.address,
                f"/page/{number}/{place}",
                "Accept: text/html",
                f"User-Agent: client {number} {place}",
                f"X-Forwarded-For: {ipaddress.IPv4Address(number * 50 + place & 0xFFFFFF | 10 << 24)}",
            )
            for place in range(50)
        )
        return self.converse(pages, {200, 302, 303})

    def nothing_there(self, number):
        pages = (request(self.address, f"/.lychgate/{number}/{place}") for place in range(50))
        return self.converse(pages, {404})

    def dripping(self, _):
        with contextlib.closing(connect(self.address)) as connection:
            for byte in request(self.address, "/public/slow")[:-2]:
                if self.over.wait(0.5):
                    break
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    break
        return 1

    def left_open(self, _):
        connections = [connect(self.address) for _ in range(50)]
        self.over.wait(1)
        for connection in connections:
            connection.close()
        return len(connections)

    def forged(self, number):
        # One client may begin so many logins a minute, and is told so after that.
        pages = (
            request(self.address, f"/page/{number}", f"Cookie: lychgate={secrets.token_urlsafe(1500)}")
            for _ in range(50)
        )
        self.over.wait(0.1)
        return self.converse(pages, {302, 303, 401, 429})

    def too_long(self, _):
        self.over.wait(0.1)
        return self.flood(request(self.address, "/public/", f"X-Filler: {'x' * 100_000}"))

    def unread(self, _):
        with contextlib.closing(connect(self.address)) as connection:
            connection.sendall(request(self.address, "/public/large"))
            self.over.wait(1)
        return 1

    def taken_back(self, _):
        """Requests over HTTP/2 that are taken back at once."""
        block = b"\x82\x86\x84" + self.authority()
        streams = range(1, 401, 2)
        return self.flood_http2(
            b"".join(frame(1, 5, it, block) + frame(3, 0, it, bytes([0, 0, 0, 8])) for it in streams)
        )

    def unfolding(self, _):
        """A header block of 16 KB that stands for 40 MB: one long header, and then its place in the table."""
        long = b"\x40\x01x\x7f" + bytes([0x80 | (3000 - 127) & 0x7F, (3000 - 127) >> 7]) + b"x" * 3000
        block = b"\x82\x86\x84" + self.authority() + long
        return self.flood_http2(frame(1, 5, 1, block + b"\xbe" * (16384 - len(block))))

    def authority(self):
        return b"\x01" + bytes([len(self.address)]) + self.address.encode()

    def flood_http2(self, frames):
        self.over.wait(0.1)
        return self.flood(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frames)

    def flood(self, bytes_):
        """Sends what is refused, perhaps while it is sent, and hears what there is to hear."""
        with contextlib.closing(connect(self.address)) as connection:
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.sendall(bytes_)
                while connection.recv(65536):
                    pass
        return 1

    def no_http(self, number):
        for bytes_ in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"nonsense\r\n\r\n", os.urandom(64)):
            with contextlib.closing(connect(self.address)) as connection:
                connection.sendall(bytes_ + b"\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    connection.recv(4096)
        self.over.wait(0.02)
        return 3 if number else 0


if __name__ == "__main__":
    main()
