#!/usr/bin/env python3
"""Runs other libraries beside Slotwise, at the same parameters and in the same minutes, and records the ratios.

    python3 bench/peers/run.py                 all four sets, three rounds
    python3 bench/peers/run.py --quick         p13 and p14, one round
    python3 bench/peers/run.py --hexl PROGRAM  HEXL's transforms timed in the same run (a program of your own, which prints JSON
                                               lines with op, log_n, bits, median_us), to scale the native builds of published.csv

Needs Rust, and the Pythons that the wheels want (environments.py); only the standard library here. Wall time, one thread, medians
of medians. Writes DATE-peers.md and .json into bench/record/ after every set, so that a run that is cut short leaves what it has, and
.svg at the end. A round of all sets takes some two minutes.
"""

import argparse
import csv
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import environments

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SETS = ["p13", "p14", "p15", "p16"]
OPS = """encode encrypt_public encrypt_secret decrypt decode decrypt_decode add mul_plain mul_relin rescale rotate
rotate_hoisted_16 rotate_hoisted_16_lazy conjugate keygen_rotation""".split()
# SEAL has as many digits as limbs.
PEERS = {"openfhe": lambda params: True, "seal": lambda params: params["dnum"] == params["limbs"]}
NATIVE = {"seal-hexl": "SEAL 4.4.3 + HEXL", "openfhe-hexl": "OpenFHE 1.5.1 + HEXL", "lattigo": "Lattigo 6.2.0"}
# Microseconds of HEXL's forward and inverse transforms at 50 bits on the machine of published.csv, by log2 N.
PUBLISHED_NTT = {12: (6.0, 6.5), 13: (12.8, 13.7), 14: (27.1, 29.2), 15: (57.8, 61.6), 16: (123.0, 131.0)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="some of p13,p14,p15,p16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="of measured time for each operation of a peer")
    parser.add_argument("--quick", action="store_true", help="p13 and p14, one round")
    parser.add_argument("--hexl", metavar="PROGRAM", help="times HEXL's transforms")
    parser.add_argument("--slotwise", metavar="PROGRAM", help="a built slotwise; otherwise Cargo builds it")
    parser.add_argument("--python", metavar="VERSION=PATH", action="append", default=[], help="an interpreter, as 3.10=/opt/python3.10")
    parser.add_argument("--environments", type=Path, default=ROOT / "target" / "peers", help="where they are made")
    parser.add_argument("--record", type=Path, default=ROOT / "bench" / "record", help="where results go")
    given = parser.parse_args()
    if given.quick:
        given.sets, given.rounds = "p13,p14", 1
    unknown = set(given.sets.split(",")) - set(SETS)
    if unknown or given.rounds < 1:
        parser.error(f"no such set: {', '.join(sorted(unknown))}" if unknown else "--rounds must be at least 1")
    return given


def slotwise(given):
    if given.slotwise:
        return given.slotwise
    subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "slotwise"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "slotwise"


def run_ours(program, name, scratch):
    report = scratch / "slotwise.json"
    command = [program, "bench", "--set", name, "--threads", "1", "--json", report]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(report.read_text())
    rows = {row["op"]: row for row in found["ops"]}
    both = {key: rows["decrypt"][key] + rows["decode"][key] for key in ("median_ms", "min_ms")}
    return found, [*found["ops"], {"op": "decrypt_decode", **both}]


def run_peer(python, name, params, seconds):
    command = [python, HERE / f"ops_{name}.py", str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, input=json.dumps(params), env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def run_hexl(program):
    lines = subprocess.run([program, "--json"], check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def measure(given, program, pythons):
    """Yields all that was measured so far, after each set of each round: rows are {set, library, op, median_ms, min_ms}, parameters by
    set, notes by set and library."""
    result = {"params": {}, "machine": None, "notes": {}, "rows": [], "hexl": [], "rounds": 0}
    for round_number in range(given.rounds):
        result["rounds"] = round_number + 1
        if given.hexl:
            result["hexl"] += run_hexl(given.hexl)
        for name in given.sets.split(","):
            print(f"round {round_number + 1} of {given.rounds}: {name}", file=sys.stderr)
            report, ops = run_ours(program, name, given.environments)
            params = report["params"]
            result["params"][name], result["machine"] = params, report["machine"]
            result["rows"] += [{"set": name, "library": "slotwise", **row} for row in ops]
            for peer, python in pythons.items():
                found = run_peer(python, peer, params, given.seconds) if PEERS[peer](params) else None
                if found:
                    result["notes"][f"{name} {peer}"] = found["notes"]
                    result["rows"] += [{"set": name, "library": peer, **row} for row in found["ops"]]
            yield result


def medians(rows):
    """{(set, library, op): median over rounds of the median}."""
    times = {}
    for row in rows:
        times.setdefault((row["set"], row["library"], row["op"]), []).append(row["median_ms"])
    return {key: statistics.median(values) for key, values in times.items()}


def machine_factor(hexl):
    """How much longer HEXL's transforms take here than on the machine of published.csv."""
    ratios = []
    for row in hexl:
        direction = {"ntt_forward": 0, "ntt_inverse": 1}.get(row["op"])
        if row["bits"] == 50 and direction is not None and row["log_n"] in PUBLISHED_NTT:
            ratios.append(row["median_us"] / PUBLISHED_NTT[row["log_n"]][direction])
    return statistics.median(ratios)


def native(factor):
    """published.csv on the scale of this machine: {(set, library, op): ms}."""
    with open(HERE / "published.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    return {
        (line["set"], library, line["op"]): float(line[library]) * factor
        for line in lines
        for library in NATIVE
        if line[library]
    }


def number(value):
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def table(ours, theirs, libraries, name):
    """Lines of a table: milliseconds of each library, and how many times as long as ours that is."""
    libraries = {key: title for key, title in libraries.items() if any((name, key, op) in theirs for op in OPS)}
    heads = [head for title in libraries.values() for head in (title, "× ours")]
    lines = ["| operation | Slotwise | " + " | ".join(heads) + " | best peer × ours |"]
    lines.append("|---|" + "---:|" * (len(heads) + 2))
    for op in OPS:
        mine = ours.get((name, "slotwise", op))
        others = [theirs.get((name, library, op)) for library in libraries]
        known = [other for other in others if other is not None]
        if mine is None or not known:
            continue
        cells = [cell for other in others for cell in (number(other), number(other / mine if other else None))]
        lines.append(f"| {op} | {number(mine)} | " + " | ".join(cells) + f" | **{min(known) / mine:.2f}** |")
    return lines


def transforms(result, found):
    """Lines of a table of one-limb transforms, both timed in this run."""
    lines = ["| transform | Slotwise µs | HEXL µs | HEXL × ours |", "|---|---:|---:|---:|"]
    for name, params in result["params"].items():
        for op in ("ntt_forward", "ntt_inverse"):
            times = [r["median_us"] for r in result["hexl"] if (r["op"], r["log_n"], r["bits"]) == (op, params["log_n"], 50)]
            mine, theirs = found[name, "slotwise", op] * 1e3, statistics.median(times)
            lines.append(f"| {op}, N = 2^{params['log_n']} | {mine:.1f} | {theirs:.1f} | **{theirs / mine:.2f}** |")
    return lines


def report(result):
    """The record as Markdown."""
    found, machine = medians(result["rows"]), result["machine"]
    wheels = {library: result["versions"][library] for library in PEERS if library in result["versions"]}
    lines = [f"# Slotwise and other libraries, {result['date']}", ""]
    lines += [f"{machine['cpu']}, {machine['kernels']} kernels, {machine['system']}; revision {result['revision']}. One thread, wall time,"]
    lines += [f"milliseconds: the median over {result['rounds']} rounds of the median in each, libraries taking turns; load average"]
    lines += [f"{result['load']:.1f} at the start. Made by `bench/peers/run.py`; what peers return is freed outside the clock, what we return inside."]
    lines += ["", "## Wheels, as installed from PyPI"]
    for name, params in result["params"].items():
        base, *steps = params["scale_bits"]
        chain = f"{base} + {len(steps)} x {steps[0]}"
        lines += ["", f"### {name}: N = 2^{params['log_n']}, {chain} bits, {params['special_limbs']} special, dnum {params['dnum']}", ""]
        lines += table(found, found, wheels, name)
        lines += [""] + [f"{wheels[peer]}: {result['notes'][f'{name} {peer}']}." for peer in wheels if f"{name} {peer}" in result["notes"]]
    if not result["hexl"]:
        lines += ["", "The native builds of `bench/peers/published.csv` are left out: no program that times HEXL's transforms was given."]
        return lines
    factor = result["factor"]
    lines += ["", "## One-limb transforms at 50 bits, native HEXL", ""] + transforms(result, found)
    lines += ["", "## Native builds, on the scale of this machine", ""]
    lines += ["Measured for this project in November 2026 on one core of a Zen 4 with AVX-512 IFMA (`bench/peers/published.csv`, least CPU"]
    lines += [f"time over repeated runs; OpenFHE with special primes of 60 bits, and 49-bit limbs in p16), times {factor:.3f}: the median"]
    lines += ["ratio of HEXL's one-limb transforms, N = 2^12 to 2^16 at 50 bits, in this run to those published with them."]
    scaled = native(factor)
    for name in result["params"]:
        lines += ["", f"### {name}", ""] + table(found, scaled, NATIVE, name)
    return lines


def bars(result):
    """What the chart shows: for each set and library, operations with their ratio to ours."""
    found = medians(result["rows"])
    theirs = {**found, **(native(result["factor"]) if result["hexl"] else {})}
    titles = {**{p: result["versions"][p] for p in PEERS if p in result["versions"]}, **NATIVE}
    return [
        {"set": name, "library": titles[library], "op": op, "ratio": time / found[name, "slotwise", op]}
        for (name, library, op), time in theirs.items()
        if library in titles and (name, "slotwise", op) in found
    ]


def main():
    given = arguments()
    given.environments.mkdir(parents=True, exist_ok=True)
    named = dict(pair.split("=", 1) for pair in given.python)
    made = {name: environments.environment(name, given.environments, named) for name in environments.WHEELS}
    program = slotwise(given)
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    known = {
        "date": datetime.date.today().isoformat(),
        "revision": revision.stdout.strip(),
        "load": os.getloadavg()[0],
        "versions": {peer: made[peer][1] for peer in PEERS if made[peer]},
    }
    given.record.mkdir(parents=True, exist_ok=True)
    place = given.record / f"{known['date']}-peers"
    for found in measure(given, program, {peer: made[peer][0] for peer in PEERS if made[peer]}):
        result = {**known, **found, "factor": machine_factor(found["hexl"]) if found["hexl"] else None}
        place.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        place.with_suffix(".md").write_text("\n".join(report(result)) + "\n")
    print("\n".join(report(result)))
    if made["chart"]:
        shown = json.dumps({"title": f"{result['machine']['cpu']}, {result['date']}", "bars": bars(result)})
        subprocess.run([made["chart"][0], HERE / "chart.py", place.with_suffix(".svg")], input=shown, text=True, check=True)


if __name__ == "__main__":
    main()
