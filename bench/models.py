"""Runs every model of models/ with `slotwise run`, and prints what its plan predicted beside what was measured.

    python3 bench/models.py [MODEL...]      without the ending, for example: mnist-mlp-relu

One image for latency, and a batch for throughput: the whole test set or a chunk of full ciphertexts, and a few samples of what
such a chunk takes many minutes of. Predictions have to hold within 25 % for server time and peak memory, and within 3 bits for precision; the
exit code is 1 if one does not. The primitives are timed again first. Worth something on an otherwise idle machine only. The reports go to target/models/ as JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "target/models"
SLOTWISE = ROOT / "target/release/slotwise"
BATCH = {"cryptonets-mnist": 10_000, "mnist-mlp-relu": 10_000, "lenet5-relu-mnist": 32_768}
SMALL_BATCH = 32
TOLERANCE = 0.25
BITS = 3


def files(model):
    """The model, and the names of its test set and calibration data."""
    test, calibration = ("fashion-t10k", "fashion") if model.startswith("fashion") else ("t10k", "mnist")
    data = ROOT / "models/data"
    return ROOT / f"models/{model}.onnx", data / test, data / f"{calibration}-calibration-idx3-ubyte.gz"


def remeasure(model):
    """Times the primitives again, in a process of its own, whose memory is not that of a run."""
    model, _, calibration = files(model)
    subprocess.run([SLOTWISE, "plan", model, "--calibration", calibration, "--remeasure"], check=True, stdout=subprocess.DEVNULL)


def run(name, objective, samples):
    """The report of a run."""
    model, test, calibration = files(name)
    path = REPORTS / f"{name}-{objective}.json"
    subprocess.run(
        [SLOTWISE, "run", model, "--objective", objective, "--samples", str(samples), "--data", f"{test}-images-idx3-ubyte.gz",
         "--labels", f"{test}-labels-idx1-ubyte.gz", "--calibration", calibration, "--json", path],
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
    holds = True
    remeasure("cryptonets-mnist")
    for model in models:
        for objective, samples in (("latency", 1), ("throughput", BATCH.get(model, SMALL_BATCH))):
            cells, fine = compare(run(model, objective, samples))
            holds &= fine
            print(f"{model:20} {samples:6} for {objective:10}", *cells, "" if fine else "  OFF", sep="  ", flush=True)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
