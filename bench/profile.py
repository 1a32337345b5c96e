#!/usr/bin/env python3
"""Where the time of a rotation goes, and what the machine's limits would allow: the table of docs/performance.md.

    slotwise bench --set p13,p14,p15,p16 --json report.json && python3 bench/profile.py report.json

Counts follow from the parameters; times and limits are of the report (least times, one thread). Only the standard library.
"""

import json
import sys

# A butterfly is a product by a constant and its quotient: three half products.
PRODUCTS_PER_BUTTERFLY = 1.5


def counts(params):
    """Limb transforms, multiply-accumulates and bytes through memory of a rotation and its three parts."""
    q, p, dnum = params["limbs"], params["special_limbs"], params["dnum"]
    n, both = 1 << params["log_n"], params["limbs"] + params["special_limbs"]
    size = -(-q // dnum)
    digits = [min(size, q - start) for start in range(0, q, size)]
    key = 8 * n * 2 * len(digits) * both
    # Hoisted, the digits are kept and read again, and the sums are written; within a rotation, both stay in cache.
    parts = {
        "ModUp": {"ntts": q + sum(both - d for d in digits), "macs": n * sum(d * (both - d) for d in digits), "bytes": 0},
        "inner product": {"ntts": 0, "macs": key // 8, "bytes": key + 8 * n * (len(digits) + 2) * both},
        "ModDown": {"ntts": 2 * (p + q), "macs": n * 2 * p * q, "bytes": 0},
    }
    parts["rotation"] = {name: sum(part[name] for part in parts.values()) for name in ("ntts", "macs")} | {"bytes": key}
    return parts


def profile(params, rows, limits):
    """Lines of the table of one set."""
    time = {row["op"]: row["min_ms"] for row in rows}
    ntt = (time["ntt_forward"] + time["ntt_inverse"]) / 2
    butterflies = (1 << params["log_n"]) / 2 * params["log_n"]
    least_ntt = butterflies * PRODUCTS_PER_BUTTERFLY / limits["products_per_s"] * 1e3
    measured = {"ModUp": "mod_up", "inner product": "inner_product", "ModDown": "mod_down", "rotation": "rotate"}
    for name, part in counts(params).items():
        macs = part["macs"] / limits["products_per_s"] * 1e3
        memory = part["bytes"] / limits["read_bytes_per_s"] * 1e3
        yield name, part, (part["ntts"] * ntt, part["ntts"] * least_ntt, macs, memory, time[measured[name]])


def main():
    with open(sys.argv[1]) as file:
        report = json.load(file)
    limits = next(limit for limit in report["limits"] if limit["threads"] == 1)
    machine = report["machine"]
    print(f"{machine['cpu']}, {machine['kernels']} kernels, one thread: {limits['products_per_s'] / 1e9:.1f} G products a second in registers,")
    print(f"{limits['read_bytes_per_s'] / 1e9:.1f} GB/s from memory. Times in milliseconds.\n")
    heads = ["set", "part", "limb NTTs", "M products", "MB", "NTTs as timed alone", "NTTs at the limit", "products at the limit"]
    print("| " + " | ".join([*heads, "memory at the limit", "measured"]) + " |")
    print("|---|---|" + "---:|" * 8)
    for one in report["sets"]:
        params = one["params"]
        key = (params["log_n"], params["limbs"], 1)
        rows = [row for row in report["ops"] + report["parts"] if (row["log_n"], row["limbs"], row["threads"]) == key]
        title = f"2^{params['log_n']}, {params['limbs']} + {params['special_limbs']} limbs, dnum {params['dnum']}"
        for name, part, times in profile(params, rows, limits):
            cells = [title, name, str(part["ntts"]), f"{part['macs'] / 1e6:.1f}", f"{part['bytes'] / 1e6:.1f}"]
            print("| " + " | ".join(cells + [f"{time:.3g}" for time in times]) + " |")
            title = ""


if __name__ == "__main__":
    main()
