"""Runs every model of models/ with `slotwise run`, and prints what its plan predicted beside what was measured.

    python3 bench/models.py [MODEL...]      without the ending, for example: mnist-mlp-relu

Single images for latency, one after the other, and a batch for throughput: the whole test set or a chunk of full ciphertexts, and a few
samples of what such a chunk takes many minutes of. Predictions have to hold within 25 % for server time and peak memory, and within 3 bits for
precision; the exit code is 1 if one does not.

A single image of some networks takes 30 ms, and machines are shared: one sample of that says little. So the latency is that of an image among
several in a run, and of several runs the median counts, of each figure. Before each of them the primitives are timed again, in a process of
its own, so that predictions and runs see the machine in the same state; of the predictions, too, the median counts. Both begin after some
seconds of rest: the host of a virtual machine takes back what was free for so long, and to find that again takes ten times as long as what
was in use a moment ago. A run that takes minutes is there once. Worth something on an otherwise idle machine only. The reports go to target/models/ as JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "target/models"
SLOTWISE = ROOT / "target/release/slotwise"
IMAGES = {"cryptonets-mnist": 32, "mnist-mlp-relu": 32}
FEW_IMAGES = 4
BATCH = {"cryptonets-mnist": 10_000, "mnist-mlp-relu": 10_000, "lenet5-relu-mnist": 32_768}
SMALL_BATCH = 32
RUNS = 3
REST_S = 10
# Server seconds from which a run is long.
LONG = 30
TOLERANCE = 0.25
BITS = 3


def files(model):
    """The model, and the names of its test set and calibration data."""
    test, calibration = ("fashion-t10k", "fashion") if model.startswith("fashion") else ("t10k", "mnist")
    data = ROOT / "models/data"
    return ROOT / f"models/{model}.onnx", data / test, data / f"{calibration}-calibration-idx3-ubyte.gz"


def remeasure():
    """Times the primitives again, in a process of its own, whose memory is not that of a run."""
    model, _, calibration = files("cryptonets-mnist")
    time.sleep(REST_S)
    subprocess.run([SLOTWISE, "plan", model, "--calibration", calibration, "--remeasure"], check=True, stdout=subprocess.DEVNULL)


def run(name, objective, samples):
    """The report of a run."""
    remeasure()
    model, test, calibration = files(name)
    path = REPORTS / f"{name}-{objective}.json"
    time.sleep(REST_S)
    subprocess.run(
        [SLOTWISE, "run", model, "--objective", objective, "--samples", str(samples), "--data", f"{test}-images-idx3-ubyte.gz",
         "--labels", f"{test}-labels-idx1-ubyte.gz", "--calibration", calibration, "--json", path],
        check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


def runs(name, objective, samples):
    """The reports of as many runs as count."""
    reports = [run(name, objective, samples)]
    while len(reports) < RUNS and reports[0]["time_s"]["infer"] < LONG:
        reports.append(run(name, objective, samples))
    return reports


def compare(reports, images):
    """Cells of a row, and whether the predictions hold. Server time is that of all samples, or of one image among so many."""
    pairs = [
        (lambda r: r["predicted"]["infer_s"], lambda r: r["time_s"]["infer"], images),
        (lambda r: r["predicted"]["prepare_s"], lambda r: r["time_s"]["prepare"], 1),
        (lambda r: r["predicted"]["peak_memory_bytes"], lambda r: r["peak_memory_bytes"], 1e9),
        (lambda r: r["predicted"]["precision_bits"], lambda r: r["accuracy"]["precision_bits"], 1),
    ]
    pairs = [(median(map(predicted, reports)) / unit, median(map(measured, reports)) / unit) for predicted, measured, unit in pairs]
    cells = [f"{a:9.3f} {b:9.3f} {b / a - 1:+5.0%}" for a, b in pairs[:3]]
    bits = pairs[3]
    cells.append(f"{bits[0]:5.1f} {bits[1]:5.1f} {bits[1] - bits[0]:+4.1f}")
    accuracy = reports[0]["accuracy"]
    cells.append(f"{accuracy['original']:8.2%} {accuracy['encrypted']:8.2%}  {len(reports)}")
    off = [abs(b / a - 1) > TOLERANCE for a, b in (pairs[0], pairs[2])] + [abs(bits[1] - bits[0]) > BITS]
    return cells, not any(off)


def main():
    shipped = sorted(path.stem for path in (ROOT / "models").glob("*.onnx"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(shipped)}; all if left out")
    models = parser.parse_args().models or shipped
    unknown = set(models) - set(shipped)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "slotwise"], cwd=ROOT, check=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    print("predicted, measured and difference of          server seconds            weights, seconds          peak memory, GB"
          "     bits of precision   accuracy, original and encrypted; runs")
    holds = True
    for model in models:
        images, batch = IMAGES.get(model, FEW_IMAGES), BATCH.get(model, SMALL_BATCH)
        for objective, samples, parts in (("latency", images, images), ("throughput", batch, 1)):
            cells, fine = compare(runs(model, objective, samples), parts)
            holds &= fine
            print(f"{model:20} {samples // parts:6} for {objective:10}", *cells, "" if fine else "  OFF", sep="  ", flush=True)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
