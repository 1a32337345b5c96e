#!/usr/bin/env python3
"""Runs our side of the FHE Benchmarking Suite's ml-inference workload on its four sizes, as the harness does.

    python3 bench/fhe-benchmarking/run.py [--sizes 1 100 1000 10000] [--seed S] [-o bench/record/fhe-benchmarking]

The same stages, in the same order, as processes of their own over the same folders (datasets/, io/), timed from outside
like the harness times them; sizes are those of the folders. Images are a random choice from MNIST's test set, written as
the harness writes them: a line an image, pixels from 0 to 1 with six digits. Needs Python and Rust, nothing else.
"""

import argparse
import datetime
import gzip
import json
import platform
import random
import struct
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path.insert(0, str(HERE / "submission"))

import stages  # noqa: E402

# What the suite publishes of its reference submission, on 96 virtual CPUs: seconds in the server.
REFERENCE = {1: 6.48, 100: 10.55 * 60, 1000: 1.77 * 3600}


def idx(path):
    """The bytes of an IDX file, an item a row."""
    file = gzip.decompress(path.read_bytes())
    dimensions = struct.unpack_from(f">{file[3]}I", file, 4)
    data, size = file[4 + 4 * len(dimensions):], 1
    for dimension in dimensions[1:]:
        size *= dimension
    return [data[i * size:(i + 1) * size] for i in range(dimensions[0])]


def generate_input(root, size, samples, seed):
    """Writes the images of a run, and returns their labels."""
    data = PROJECT / "models/data"
    images, labels = idx(data / "t10k-images-idx3-ubyte.gz"), idx(data / "t10k-labels-idx1-ubyte.gz")
    chosen = random.Random(seed).sample(range(len(images)), samples)
    pixels = stages.Instance(size, root).pixels
    pixels.parent.mkdir(parents=True, exist_ok=True)
    with open(pixels, "w") as out:
        for i in chosen:
            out.write(" ".join(f"{byte / 255:.6f}" for byte in images[i]) + "\n")
    return [labels[i][0] for i in chosen]


def folder_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measure(size, samples, seed, root):
    """All stages of one size: seconds by stage, bytes by folder, accuracy."""
    build = root / "submission/build"
    start = time.perf_counter()
    stages.make_plan(build, samples)
    seconds = {"plan": time.perf_counter() - start}
    labels = generate_input(root, size, samples, seed)
    for stage in stages.STAGES:
        start = time.perf_counter()
        stages.run(stage, size, samples, build, root)
        seconds[stage] = time.perf_counter() - start
    files = stages.Instance(size, root)
    predictions = [int(line) for line in files.predictions.read_text().split()]
    assert len(predictions) == samples, f"{len(predictions)} predictions for {samples} images"
    correct = sum(p == label for p, label in zip(predictions, labels))
    return {
        "samples": samples,
        "seconds": seconds,
        "bytes": {
            "public_keys": folder_bytes(files.public_keys),
            "ciphertexts_upload": folder_bytes(files.upload),
            "ciphertexts_download": folder_bytes(files.download),
        },
        "accuracy": correct / samples,
        "reference_server_seconds": REFERENCE.get(samples),
    }


def megabytes(count):
    return f"{count / 1e6:.2f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def table(results):
    rows = [
        ("plan (model owner, once)", lambda r: f"{r['seconds']['plan']:.2f} s"),
        *((stage, lambda r, stage=stage: f"{r['seconds'][stage]:.2f} s") for stage in stages.STAGES),
        ("reference, server, 96 virtual CPUs",
         lambda r: f"{r['reference_server_seconds']:.2f} s" if r["reference_server_seconds"] else "not published"),
        ("keys sent to the server", lambda r: megabytes(r["bytes"]["public_keys"])),
        ("input", lambda r: megabytes(r["bytes"]["ciphertexts_upload"])),
        ("results", lambda r: megabytes(r["bytes"]["ciphertexts_download"])),
        ("accuracy", lambda r: f"{100 * r['accuracy']:.2f} %"),
    ]
    lines = ["| images | " + " | ".join(f"{r['samples']:,}" for r in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    lines += [f"| {name} | " + " | ".join(cell(r) for r in results) + " |" for name, cell in rows]
    return "\n".join(lines)


def processor():
    try:
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        return f"{names[0]}, {len(names)} threads"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100, 1000, 10000], metavar="N",
                        help="images of the single, small, medium and large run (older harnesses: small is 15)")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, metavar="STEM", help="write STEM.md and STEM.json")
    arguments = parser.parse_args()
    if not stages.SLOTWISE.exists():
        sys.exit("build slotwise first: cargo build --release")
    if len(arguments.sizes) > len(stages.SIZES):
        sys.exit(f"the suite has {len(stages.SIZES)} sizes")
    results = []
    for size, samples in enumerate(arguments.sizes):
        with tempfile.TemporaryDirectory() as root:
            results.append(measure(size, samples, arguments.seed, Path(root)))
    heading = f"{datetime.date.today().isoformat()}, {processor()}. Whole processes, loading of keys and model included."
    text = f"# MNIST 784-128-64-10 with ReLU\n\n{heading}\n\n{table(results)}\n"
    print(text)
    if arguments.output:
        Path(f"{arguments.output}.md").write_text(text)
        Path(f"{arguments.output}.json").write_text(json.dumps({"machine": processor(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
