#!/usr/bin/env python3
"""The stages that the harness of the FHE Benchmarking Suite calls, each a thin command over `slotwise`.

    stages.py STAGE [SIZE]        in the root of the harness, whose folders io/ and datasets/ it uses

STAGE is what the harness calls the executable. The two parties share nothing but files: of the plan both have a copy,
public_keys/ and ciphertexts_upload/ go to the server, ciphertexts_download/ comes back.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
SLOTWISE = PROJECT / "target/release/slotwise"
MODEL = PROJECT / "models/mnist-mlp-relu.onnx"
CALIBRATION = PROJECT / "models/data/mnist-calibration-idx3-ubyte.gz"

# Images from which on a plan is the one for a large batch, and those of that batch.
MANY, LARGE = 1000, 10_000

SIZES = ["single", "small", "medium", "large"]
STAGES = [
    "client_key_generation",
    "server_preprocess_model",
    "client_preprocess_input",
    "client_encode_encrypt_input",
    "server_encrypted_compute",
    "client_decrypt_decode",
    "client_postprocess",
]


def slotwise(*arguments):
    subprocess.run([SLOTWISE, *arguments], check=True)


def plan_file(build, samples):
    return build / f"plan-{samples}"


def make_plan(build, samples):
    """What a model owner does once, before there is any data: the counterpart of compiling the model."""
    build.mkdir(parents=True, exist_ok=True)
    # Ciphertexts of one feature each need no rotations and no encoded diagonals: from some hundred images on they win, empty
    # places included, since a server process also prepares its weights.
    batch = samples if samples < MANY else max(samples, LARGE)
    objective = "latency" if samples == 1 else "throughput"
    slotwise("plan", MODEL, "--calibration", CALIBRATION, "--objective", objective, "--batch", str(batch),
             "-o", plan_file(build, samples))


class Instance:
    """The files of one size, where the harness has them."""

    def __init__(self, size, root):
        name = SIZES[size]
        self.pixels = root / "datasets" / name / "intermediate/test_pixels.txt"
        io = root / "io" / name
        self.public_keys = io / "public_keys"
        self.secret_key = io / "secret_key"
        self.upload = io / "ciphertexts_upload"
        self.download = io / "ciphertexts_download"
        self.logits = io / "intermediate/logits.csv"
        self.predictions = io / "encrypted_model_predictions.txt"


def run(stage, size, samples, build, root):
    """Runs one stage for a batch of so many samples."""
    files = Instance(size, root)
    plan = ["--plan", plan_file(build, samples)]
    if stage == "client_key_generation":
        files.public_keys.parent.mkdir(parents=True, exist_ok=True)
        slotwise("keygen", *plan, "-o", files.public_keys)
        files.secret_key.mkdir(exist_ok=True)
        # What the data owner keeps: the key, and beside it the record of what is encrypted with it.
        for name in ["secret.key", "batches"]:
            (files.public_keys / name).rename(files.secret_key / name)
    elif stage == "client_encode_encrypt_input":
        # The harness may run a size several times in the same folders, and a folder holds one batch.
        shutil.rmtree(files.upload, ignore_errors=True)
        # Under the secret key: half of each ciphertext is a seed.
        slotwise("encrypt", *plan, "--key", files.secret_key / "secret.key", "--data", files.pixels,
                 "-o", files.upload)
    elif stage == "server_encrypted_compute":
        shutil.rmtree(files.download, ignore_errors=True)
        slotwise("infer", "--model", MODEL, *plan, "--evaluation-key", files.public_keys / "evaluation.key",
                 "--input", files.upload, "--output", files.download)
    elif stage == "client_decrypt_decode":
        files.logits.parent.mkdir(exist_ok=True)
        slotwise("decrypt", *plan, "--secret-key", files.secret_key / "secret.key", "--input", files.download,
                 "-o", files.logits)
    elif stage == "client_postprocess":
        with open(files.logits, newline="") as rows, open(files.predictions, "w") as out:
            for row in csv.reader(rows):
                logits = [float(field) for field in row]
                print(logits.index(max(logits)), file=out)
    # The model is read with its plan, and pixels are read as they are: the other stages have nothing to do.


def main():
    stage = sys.argv[1]
    if stage not in STAGES:
        sys.exit(f"no stage {stage}; there are {', '.join(STAGES)}")
    if stage == "server_preprocess_model":
        return
    size, root = int(sys.argv[2]), Path.cwd()
    # Harnesses differ in how many images a size has, so the file is asked, and before there is one, the harness.
    build = root / "submission/build"
    run(stage, size, batch_sizes(root)[size], build, root)


def batch_sizes(root):
    """What the harness at `root` means by its four sizes."""
    sys.path.insert(0, str(root / "harness"))
    from params import InstanceParams
    return [InstanceParams(size).get_batch_size() for size in range(len(SIZES))]


if __name__ == "__main__":
    main()
