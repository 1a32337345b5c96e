"""Trains a small residual network with SiLU for Fashion-MNIST and writes `fashion-resnet-silu.onnx`.

    conv 5x5, stride 2, 16 maps -> silu -> block(conv 3x3 -> silu -> conv 3x3, added to its input) -> silu
        -> conv 3x3, stride 2, 64 maps -> silu -> average of each map -> dense 64 -> 10

Every convolution is followed by a batch normalisation, which the export folds into it, as it is constant once trained. The first
stride takes the resolution down at once: what is behind it has a quarter of the features to encrypt.
"""

from torch import nn
from torch.nn.functional import silu

import training


def convolution(inputs, outputs, size, stride=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class FashionResNet(nn.Module):
    def __init__(self, narrow=16, wide=64):
        super().__init__()
        self.stem = convolution(1, narrow, 5, stride=2)
        self.block1 = convolution(narrow, narrow, 3)
        self.block2 = convolution(narrow, narrow, 3)
        self.down = convolution(narrow, wide, 3, stride=2)
        self.dense = nn.Linear(wide, 10)

    def stages(self, x):
        stem = self.stem(x)
        shortcut = silu(stem)
        block1 = self.block1(shortcut)
        block2 = self.block2(silu(block1)) + shortcut
        down = self.down(silu(block2))
        return stem, block1, block2, down, self.dense(silu(down).mean((2, 3)))

    def forward(self, x):
        return self.stages(x)[-1]


if __name__ == "__main__":
    defaults = dict(penalty=2e-4, epochs=30, lr=1e-2, weight_decay=0.02, shift=0.0, turn=0.0, zoom=0.0, mirror=True)
    training.run(FashionResNet, "fashion", training.arguments(__doc__, "fashion-resnet-silu.onnx", **defaults))
