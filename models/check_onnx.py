"""Accuracy of an ONNX model on a test set of `data/`, and the largest value at each of its linear layers. Needs no PyTorch."""

import argparse

import numpy as np
import onnx
import onnxruntime

from datasets import DATA, HERE, images_and_labels


def check(path, images, labels, name, batch=1_000):
    """Runs float images [n,1,28,28] in [0,1]; prints and returns the fraction classified right."""
    model = onnx.load(path)
    linear = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    logits = model.graph.output[0].name
    inner = [value for value in linear if value != logits]
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in inner)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    right, largest = 0, np.zeros(len(inner) + 1)
    for first in range(0, len(images), batch):
        part = slice(first, first + batch)
        values = session.run(inner + [logits], {session.get_inputs()[0].name: images[part]})
        right += int((values[-1].argmax(1) == labels[part]).sum())
        largest = np.maximum(largest, [np.abs(value).max() for value in values])

    print(f"{name}: {right} of {len(images)} right, {right / len(images):.2%}")
    for value, bound in zip(inner + [logits], largest):
        print(f"  max |{value}| = {bound:.2f}")
    return right / len(images)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=HERE / "cryptonets-mnist.onnx")
    parser.add_argument("--dataset", choices=["mnist", "fashion"], default="mnist")
    args = parser.parse_args()
    prefix = {"mnist": "", "fashion": "fashion-"}[args.dataset]
    check(args.model, *images_and_labels(DATA, "t10k", ".gz", prefix), "test set")
