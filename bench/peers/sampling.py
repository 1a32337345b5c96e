"""What the workers share: a worker gets parameters on standard input (the `params` of `slotwise bench --json`), and prints one
JSON object with what it timed. Every case checks its own answer before."""

import json
import sys
import time


def vectors(slots):
    """The operands of Slotwise's own cases."""
    return [[(i * a) % 1009 / 504.5 - 1.0 for i in range(slots)] for a in (7919, 104729)]


def expect(op, found, expected, tolerance):
    """Stops the worker if slots are not what they should be."""
    worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if not worst < tolerance:
        sys.exit(f"{op}: slots are off by {worst}; nothing was timed")


class Sampler:
    """Collects wall times. What a run returns is freed outside the clock."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.rows = []

    def time(self, op, run, fewest=3, most=200):
        run()
        times = []
        while len(times) < fewest or (sum(times) < self.seconds and len(times) < most):
            start = time.perf_counter()
            kept = run()
            times.append(time.perf_counter() - start)
            del kept
        times.sort()
        middle = len(times) // 2
        median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
        self.rows.append({"op": op, "median_ms": median * 1e3, "min_ms": times[0] * 1e3})


def main(work):
    """Runs `work(params, sampler)`, which returns notes on what differs from the parameters asked for."""
    sampler = Sampler(float(sys.argv[1]))
    notes = work(json.load(sys.stdin), sampler)
    json.dump({"notes": notes, "ops": sampler.rows}, sys.stdout)
