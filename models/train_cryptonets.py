"""Trains the CryptoNets-style network for MNIST and writes `cryptonets-mnist.onnx`.

    conv 5x5, stride 2, padding 1, 5 maps -> square -> dense 845 -> 100 -> square -> dense 100 -> 10

The shape is that of CryptoNets (Gilad-Bachrach et al., ICML 2016) with its linear layers folded; the input is x/255, in [0, 1].
A square has no bound, and the larger a value, the more bits of the ciphertext modulus it costs. So the loss carries a small
penalty on the largest value of each sample at the input of each square and at the logits.
The last 5,000 training images are held out for choosing hyperparameters; the last epoch is kept, and the test set is used once, after it.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from check_onnx import check
from fetch_mnist import HERE, fetch, read_idx

VALIDATION = 5_000


class CryptoNets(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 5, kernel_size=5, stride=2, padding=1)
        self.dense1 = nn.Linear(5 * 13 * 13, 100)
        self.dense2 = nn.Linear(100, 10)

    def stages(self, x):
        """The values whose size matters: the inputs of both squares, and the logits."""
        conv = self.conv(x)
        dense1 = self.dense1((conv * conv).flatten(1))
        return conv, dense1, self.dense2(dense1 * dense1)

    def forward(self, x):
        return self.stages(x)[-1]


def augment(x, shift, turn, zoom):
    """Moves, turns and scales each image a little: up to `shift` pixels, `turn` degrees, a factor of 1 +- `zoom`."""
    n = len(x)
    uniform = lambda bound: (2 * torch.rand(n) - 1) * bound
    angle, scale = uniform(math.radians(turn)), 1 + uniform(zoom)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    pixel = 2 / x.shape[-1]
    rows = torch.stack([cos, -sin, uniform(shift * pixel), sin, cos, uniform(shift * pixel)], dim=1)
    grid = F.affine_grid(rows.view(n, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def loss_of(stages, labels, penalty):
    largest = sum((value.flatten(1).abs().amax(1) ** 2).mean() for value in stages)
    return F.cross_entropy(stages[-1], labels) + penalty * largest


def train(net, x, y, args):
    train_x, train_y = x[:-VALIDATION], y[:-VALIDATION]
    steps = math.ceil(len(train_x) / args.batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * steps)
    start = time.monotonic()
    for epoch in range(1, args.epochs + 1):
        for batch in torch.randperm(len(train_x)).split(args.batch):
            images = augment(train_x[batch], args.shift, args.turn, args.zoom)
            loss = loss_of(net.stages(images), train_y[batch], args.penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            right = (net(x[-VALIDATION:]).argmax(1) == y[-VALIDATION:]).sum().item()
        seconds = time.monotonic() - start
        print(f"epoch {epoch:2}  loss {loss.item():.4f}  validation {right / VALIDATION:.2%}  {seconds:.0f} s", flush=True)


def load(split):
    folder = fetch()
    images = read_idx(folder / f"{split}-images-idx3-ubyte").astype(np.float32) / 255
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte").astype(np.int64)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


def export(net, path):
    """`n`, the number of images, stays open. `dynamo=False` is the exporter that writes opset 13 directly."""
    axes = {"images": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), path, dynamo=False, opset_version=13,
                      input_names=["images"], output_names=["logits"], dynamic_axes=axes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / "cryptonets-mnist.onnx")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3, help="peak of the one-cycle schedule")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--penalty", type=float, default=5e-4, help="weight of the penalty on large values")
    parser.add_argument("--shift", type=float, default=1.0, help="augmentation: pixels")
    parser.add_argument("--turn", type=float, default=6.0, help="augmentation: degrees")
    parser.add_argument("--zoom", type=float, default=0.06, help="augmentation: fraction")
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(1)  # with one thread, sums have one order
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)

    net = CryptoNets()
    x, y = load("train")
    train(net, x, y, args)
    export(net.eval(), args.output)
    for split in ("train", "t10k"):
        images, labels = load(split)
        check(args.output, images.numpy(), labels.numpy(), split)


if __name__ == "__main__":
    main()
