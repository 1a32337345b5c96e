"""Runs every model of models/ with `slotwise run`, and prints what its plan predicted beside what was measured.

    python3 bench/models.py [MODEL...]      without the ending, for example: mnist-mlp-relu

One image for latency, and a batch for throughput: the whole test set where a chunk of full ciphertexts fits into this machine's
memory, otherwise a few samples. Predictions have to hold within 25 % for server time and peak memory, and within 3 bits for precision; the
exit code is 1 if one does not. The primitives are timed again first. Worth something on an otherwise idle machine only. The reports go to target/models/ as JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "target/models"
BATCH = {"cryptonets-mnist": 10_000, "mnist-mlp-relu": 10_000}  # of the others, a chunk of full ciphertexts takes 100 GB and more
SMALL_BATCH = 32
TOLERANCE = 0.25
BITS = 3


def run(model, objective, samples, flags):
    """The report of a run."""
    test, calibration = ("fashion-t10k", "fashion") if model.startswith("fashion") else ("t10k", "mnist")
    data = ROOT / "models/data"
    path = REPORTS / f"{model}-{objective}.json"
    subprocess.run(
        [ROOT / "target/release/slotwise", "run", ROOT / f"models/{model}.onnx", "--objective", objective,
         "--samples", str(samples), "--data", data / f"{test}-images-idx3-ubyte.gz",
         "--labels", data / f"{test}-labels-idx1-ubyte.gz",
         "--calibration", data / f"{calibration}-calibration-idx3-ubyte.gz", "--json", path, *flags],
        check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


def compare(report):
    """Cells of a row, and whether the predictions hold."""
    predicted, measured = report["predicted"], report["time_s"]
    pairs = [
        (predicted["infer_s"], measured["infer"], 1),
        (predicted["prepare_s"], measured["prepare"], 1),
        (predicted["peak_memory_bytes"], report["peak_memory_bytes"], 1e9),
    ]
    cells = [f"{a / unit:9.3f} {b / unit:9.3f} {b / a - 1:+5.0%}" for a, b, unit in pairs]
    bits = [predicted["precision_bits"], report["accuracy"]["precision_bits"]]
    cells.append(f"{bits[0]:5.1f} {bits[1]:5.1f} {bits[1] - bits[0]:+4.1f}")
    cells.append(f"{report['accuracy']['original']:8.2%} {report['accuracy']['encrypted']:8.2%}")
    off = [abs(b / a - 1) > TOLERANCE for a, b, _ in (pairs[0], pairs[2])] + [abs(bits[1] - bits[0]) > BITS]
    return cells, not any(off)


def main():
    models = sys.argv[1:] or sorted(path.stem for path in (ROOT / "models").glob("*.onnx"))
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "slotwise"], cwd=ROOT, check=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    print("predicted, measured and difference of          server seconds            weights, seconds          peak memory, GB"
          "     bits of precision   accuracy, original and encrypted")
    holds, flags = True, ["--remeasure"]
    for model in models:
        for objective, samples in (("latency", 1), ("throughput", BATCH.get(model, SMALL_BATCH))):
            cells, fine = compare(run(model, objective, samples, flags))
            flags = []
            holds &= fine
            print(f"{model:20} {samples:6} for {objective:10}", *cells, "" if fine else "  OFF", sep="  ", flush=True)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
