#!/usr/bin/env python3
"""Where the time of a rotation goes, and what the machine's limits would allow: a table for docs/performance.md.

    slotwise bench --set p13,p14,p15,p16 --json report.json && python3 bench/profile.py report.json

Counts follow from the parameters; times and limits are of the report (least times, one thread). Only the standard library.
"""

import json
import sys

# A butterfly is a product by a constant and its quotient: three half products.
PRODUCTS_PER_BUTTERFLY = 1.5


def counts(params):
    """Limb transforms, multiply-accumulates and bytes of a rotation, in its three parts."""
    q, p, dnum = params["limbs"], params["special_limbs"], params["dnum"]
    n, both = 1 << params["log_n"], params["limbs"] + params["special_limbs"]
    size = -(-q // dnum)
    digits = [min(size, q - start) for start in range(0, q, size)]
    rows = 2 * len(digits) * both
    return {
        "ModUp": {"ntts": q + sum(both - digit for digit in digits), "macs": n * sum(d * (both - d) for d in digits), "bytes": 0},
        "inner product": {"ntts": 0, "macs": n * rows, "bytes": 8 * n * rows},
        "ModDown": {"ntts": 2 * (p + q), "macs": n * 2 * p * q, "bytes": 0},
    }


def profile(params, rows, limits):
    """Lines of the table of one set."""
    time = {row["op"]: row["min_ms"] for row in rows}
    parts = counts(params)
    ntt = (time["ntt_forward"] + time["ntt_inverse"]) / 2
    butterflies = (1 << params["log_n"]) / 2 * params["log_n"]
    least_ntt = butterflies * PRODUCTS_PER_BUTTERFLY / limits["products_per_s"] * 1e3
    measured = {"ModUp": time["mod_up"], "inner product": time["inner_product"], "ModDown": time["mod_down"]}
    for name, part in parts.items():
        macs = part["macs"] / limits["products_per_s"] * 1e3
        read = part["bytes"] / limits["read_bytes_per_s"] * 1e3
        yield name, part, part["ntts"] * ntt, part["ntts"] * least_ntt, macs, read, measured[name]
    whole = {key: sum(part[key] for part in parts.values()) for key in ("ntts", "macs", "bytes")}
    macs, read = whole["macs"] / limits["products_per_s"] * 1e3, whole["bytes"] / limits["read_bytes_per_s"] * 1e3
    yield "rotation", whole, whole["ntts"] * ntt, whole["ntts"] * least_ntt, macs, read, time["rotate"]


def main():
    with open(sys.argv[1]) as file:
        report = json.load(file)
    limits = next(limit for limit in report["limits"] if limit["threads"] == 1)
    machine = report["machine"]
    print(f"{machine['cpu']}, {machine['kernels']} kernels, one thread: {limits['products_per_s'] / 1e9:.1f} G products a second in registers,")
    print(f"{limits['read_bytes_per_s'] / 1e9:.1f} GB/s from memory. Times in milliseconds.\n")
    print("| set | part | limb NTTs | M multiply-accumulates | MB of key | NTTs, as measured alone | NTTs, at the limit | multiply-accumulates, at the limit | key, at the limit | measured |")
    print("|---|---|" + "---:|" * 8)
    for one in report["sets"]:
        params = one["params"]
        rows = [r for r in report["ops"] + report["parts"] if (r["log_n"], r["limbs"], r["threads"]) == (params["log_n"], params["limbs"], 1)]
        for name, part, ntts, least, macs, read, found in profile(params, rows, limits):
            cells = [f"2^{params['log_n']}, {params['limbs']} + {params['special_limbs']}, dnum {params['dnum']}", name, str(part["ntts"])]
            cells += [f"{part['macs'] / 1e6:.1f}", f"{part['bytes'] / 1e6:.1f}"]
            cells += [f"{value:.3g}" for value in (ntts, least, macs, read)] + [f"{found:.3g}"]
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
