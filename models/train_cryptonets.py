"""Trains the CryptoNets-style network for MNIST and writes `cryptonets-mnist.onnx`.

    conv 5x5, stride 2, padding 1, 5 maps -> square -> dense 845 -> 100 -> square -> dense 100 -> 10

The shape is that of CryptoNets (Gilad-Bachrach et al., ICML 2016) with its linear layers folded; the input is x/255, in [0, 1].
A square has no bound, and the larger a value, the more bits of the ciphertext modulus it costs: hence the penalty on large values.
"""

from torch import nn

import training


class CryptoNets(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 5, kernel_size=5, stride=2, padding=1)
        self.dense1 = nn.Linear(5 * 13 * 13, 100)
        self.dense2 = nn.Linear(100, 10)

    def stages(self, x):
        conv = self.conv(x)
        dense1 = self.dense1((conv * conv).flatten(1))
        return conv, dense1, self.dense2(dense1 * dense1)

    def forward(self, x):
        return self.stages(x)[-1]


if __name__ == "__main__":
    training.run(CryptoNets, "mnist", training.arguments(__doc__, "cryptonets-mnist.onnx"))
