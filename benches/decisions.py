"""What it costs to open a session, to decide and to edit headers, held against the bounds.

Called by `run.sh decisions`, after criterion has measured. It exits with 1 when a bound is missed.
"""

import json
import pathlib
import sys

# The medians, in nanoseconds.
BOUNDS = {
    "session/seen_before": 2_000,
    "session/never_seen": 4_000,
}
# What 10,000 routes may cost more than 10: what two medians differ by without a reason.
FEW, MANY, TOLERANCE = "routes/10", "routes/10000", 1.1


def main(directory):
    missed = False
    print(f"\n{'medians':24}{'ns':>8}")
    medians = {name: median(directory, name) for name in (*BOUNDS, FEW, MANY)}
    bounds = BOUNDS | {MANY: medians[FEW] * TOLERANCE}
    for name, nanoseconds in medians.items():
        verdict = ""
        if name in bounds:
            is_met = nanoseconds < bounds[name]
            missed = missed or not is_met
            verdict = f"  less than {bounds[name]:,.0f}: {'met' if is_met else 'MISSED'}"
        print(f"{name:24}{nanoseconds:8,.0f}{verdict}")
    if missed:
        sys.exit("bench: a bound is missed")


def median(directory, name):
    file = directory / name / "new" / "estimates.json"
    return json.loads(file.read_text())["median"]["point_estimate"]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
