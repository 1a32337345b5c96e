"""Trains LeNet-5 with ReLU and average pooling for MNIST and writes `lenet5-relu-mnist.onnx`.

    conv 5x5, padding 2, 6 maps -> relu -> average 2x2 -> conv 5x5, 16 maps -> relu -> average 2x2
        -> dense 400 -> 120 -> relu -> dense 120 -> 84 -> relu -> dense 84 -> 10

The shape is that of LeCun et al. 1998, with ReLU for tanh and plain averages for trained ones. An average is linear and costs
nothing on encrypted data, where a maximum could not be had. The loss penalises large values, as a relu's error grows with its range.
"""

from torch import nn
from torch.nn.functional import avg_pool2d, relu

import training


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.dense1 = nn.Linear(400, 120)
        self.dense2 = nn.Linear(120, 84)
        self.dense3 = nn.Linear(84, 10)

    def stages(self, x):
        conv1 = self.conv1((x - 0.1307) / 0.3081)
        conv2 = self.conv2(avg_pool2d(relu(conv1), 2))
        dense1 = self.dense1(avg_pool2d(relu(conv2), 2).flatten(1))
        dense2 = self.dense2(relu(dense1))
        return conv1, conv2, dense1, dense2, self.dense3(relu(dense2))

    def forward(self, x):
        return self.stages(x)[-1]


if __name__ == "__main__":
    training.run(LeNet5, "mnist", training.arguments(__doc__, "lenet5-relu-mnist.onnx", penalty=1e-3, epochs=12))
