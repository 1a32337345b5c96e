"""What the training scripts share: augmentation, a loss that keeps values small, the loop, and the export.

The last 5,000 training images are held out for choosing hyperparameters; the last epoch is kept, and the test set is used once, after it.
A network is a module whose `stages(x)` are the values whose size matters: the inputs of its activations, and last the logits.
"""

import argparse
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from check_onnx import check
from datasets import HERE, VALIDATION, fetch, images_and_labels


def arguments(description, output, **defaults):
    """The hyperparameters of a script: its own values where it has them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / output)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3, help="peak of the one-cycle schedule")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--penalty", type=float, default=5e-4, help="weight of the penalty on large values")
    parser.add_argument("--shift", type=float, default=1.0, help="augmentation: pixels")
    parser.add_argument("--turn", type=float, default=6.0, help="augmentation: degrees")
    parser.add_argument("--zoom", type=float, default=0.06, help="augmentation: fraction")
    parser.add_argument("--mirror", action="store_true", help="augmentation: left and right")
    parser.add_argument("--seed", type=int, default=2)
    parser.set_defaults(**defaults)
    return parser.parse_args()


def augment(x, args):
    """Moves, turns and scales each image a little: up to `shift` pixels, `turn` degrees, a factor of 1 +- `zoom`."""
    n = len(x)
    uniform = lambda bound: (2 * torch.rand(n) - 1) * bound
    angle, scale = uniform(math.radians(args.turn)), 1 + uniform(args.zoom)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    pixel = 2 / x.shape[-1]
    rows = torch.stack([cos, -sin, uniform(args.shift * pixel), sin, cos, uniform(args.shift * pixel)], dim=1).view(n, 2, 3)
    if args.mirror:
        rows[:, 0] *= torch.randint(2, (n, 1)) * 2 - 1
    grid = F.affine_grid(rows, x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def loss_of(stages, labels, penalty):
    """Cross entropy, and a penalty on the largest value of each sample at each stage."""
    largest = sum((value.flatten(1).abs().amax(1) ** 2).mean() for value in stages)
    return F.cross_entropy(stages[-1], labels) + penalty * largest


def train(net, x, y, args):
    train_x, train_y = x[:-VALIDATION], y[:-VALIDATION]
    steps = math.ceil(len(train_x) / args.batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * steps)
    start = time.monotonic()
    for epoch in range(1, args.epochs + 1):
        net.train()
        for batch in torch.randperm(len(train_x)).split(args.batch):
            images = augment(train_x[batch], args)
            loss = loss_of(net.stages(images), train_y[batch], args.penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            right = (net(x[-VALIDATION:]).argmax(1) == y[-VALIDATION:]).sum().item()
        seconds = time.monotonic() - start
        print(f"epoch {epoch:2}  loss {loss.item():.4f}  validation {right / VALIDATION:.2%}  {seconds:.0f} s", flush=True)


def export(net, path):
    """`n`, the number of images, stays open. `dynamo=False` is the exporter that writes opset 13 directly."""
    axes = {"images": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), path, dynamo=False, opset_version=13,
                      input_names=["images"], output_names=["logits"], dynamic_axes=axes)


def run(network, dataset, args):
    """Trains a network on a dataset, writes it, and tells how it does."""
    torch.set_num_threads(1)  # with one thread, sums have one order
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)

    net = network()
    folder = fetch(dataset)
    train(net, *map(torch.from_numpy, images_and_labels(folder, "train")), args)
    export(net.eval(), args.output)
    for split in ("train", "t10k"):
        check(args.output, *images_and_labels(folder, split), split)
