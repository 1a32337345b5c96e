"""Trains the perceptron of the public FHE benchmarking suite for MNIST and writes `mnist-mlp-relu.onnx`.

    (x - 0.1307) / 0.3081 -> dense 784 -> 128 -> relu -> dense 128 -> 64 -> relu -> dense 64 -> 10

The shape is that of HomomorphicEncryption.org's fhe-benchmarking, ml-inference; the input is x/255, in [0, 1], and the usual
normalisation is part of the network. On encrypted data a relu is a polynomial on the range of its inputs, and its error grows
with that range: hence the penalty on large values.
"""

from torch import nn
from torch.nn.functional import relu

import training


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense1 = nn.Linear(784, 128)
        self.dense2 = nn.Linear(128, 64)
        self.dense3 = nn.Linear(64, 10)

    def stages(self, x):
        dense1 = self.dense1(((x - 0.1307) / 0.3081).flatten(1))
        dense2 = self.dense2(relu(dense1))
        return dense1, dense2, self.dense3(relu(dense2))

    def forward(self, x):
        return self.stages(x)[-1]


if __name__ == "__main__":
    training.run(Mlp, "mnist", training.arguments(__doc__, "mnist-mlp-relu.onnx", lr=2e-3, penalty=2e-3, epochs=20))
