"""Small networks as PyTorch exports them, and pipelines of scikit-learn, with results by onnxruntime: what the importer is held against.

    python make_zoo.py     # with ../../models/requirements.txt, onnxscript==0.7.2 for the newer exporter, and skl2onnx==1.20.0

Pipelines are written as PIPELINE.onnx, with all that skl2onnx adds: labels, and maps from classes to probabilities, which are the results here.
Each network is written twice: NAME.script.onnx by the older exporter (opset 13), NAME.dynamo.onnx by the newer one (opset 18).
NAME.x.npy holds three samples, NAME.y.npy their results. Weights are random; activations are squares, so that everything else is linear.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).resolve().parent
SAMPLES = 3


class Square(nn.Module):
    def forward(self, x):
        return x * x


class Function(nn.Module):
    """A network that is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Residual(nn.Module):
    """A block with a shortcut that is a convolution of its own, and one that is the identity."""

    def __init__(self):
        super().__init__()
        conv = lambda *args, **more: nn.Sequential(nn.Conv2d(*args, bias=False, **more), nn.BatchNorm2d(args[1]))
        self.first, self.second = conv(3, 4, 3, stride=2, padding=1), conv(4, 4, 3, padding=1)
        self.shortcut = conv(3, 4, 1, stride=2)
        self.third = conv(4, 4, 3, padding=1, groups=2)
        self.dense = nn.Linear(4, 3)

    def forward(self, x):
        x = self.second(self.first(x) ** 2) + self.shortcut(x)
        x = self.third(x) - x
        return self.dense(F.dropout(x, training=False).mean((2, 3)))


class Shapes(nn.Module):
    """Arithmetic on shapes: sizes that are asked for, and constants that are made from them."""

    def forward(self, x):
        n, channels, height, width = x.shape
        rows = torch.arange(height, dtype=torch.float32).view(1, 1, height, 1) / height
        x = x + rows.expand(n, channels, height, width) * torch.ones(n, 1, 1, width)
        x = torch.cat([x, torch.full((n, 1, height, width), 0.5)], dim=1)
        return x.reshape(n, -1, width // 2).transpose(1, 2).flatten(1)


class Moves(nn.Module):
    """Everything that moves features."""

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        x = torch.cat([right, left.flip(2)], dim=1)[:, :, 1:-1, ::2]
        x = F.pad(x, (1, 2, 0, 1)) + F.pad(x, (1, 2, 0, 1), mode="reflect")
        x = x.permute(0, 2, 3, 1).unsqueeze(1).squeeze(1)
        return torch.stack([x[..., 0], x[..., 3]], dim=-1) / torch.tensor([2.0, -0.5]) - 1


class Assignments(nn.Module):
    """Parts of a tensor written over."""

    def forward(self, x):
        y = x.clone()
        y[:, 0] = 2 * x[:, 1]
        y[:, 1:, ::2] += x[:, :2, 1::2]
        return y


class Upsampling(nn.Module):
    def __init__(self):
        super().__init__()
        self.transposed = nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x):
        x = F.pixel_shuffle(self.transposed(x), 2)
        bilinear = [F.interpolate(x, (10, 10), mode="bilinear", align_corners=corners) for corners in (False, True)]
        return torch.cat([*bilinear, F.pad(F.interpolate(x, scale_factor=0.5, mode="nearest"), (1, 1, 1, 1))], dim=1)


class Products(nn.Module):
    """Einstein sums and products from either side."""

    def __init__(self):
        super().__init__()
        self.tokens, self.channels = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(4, 2, 6))
        self.dense = nn.Linear(6, 4)

    def forward(self, x):
        mixed = torch.matmul(self.tokens, x)
        return self.dense(torch.einsum("btc,chd->bthd", mixed, self.channels)).sum(2)


class Chosen(nn.Module):
    """Features chosen by a mask, and by a comparison."""

    def forward(self, x):
        mask = torch.tensor([[True, False, False, True]])
        x = torch.where(mask, x.masked_fill(~mask, 0.5) + 2, 0.5 * x)
        return torch.where(x > 1.0, x, -0.25) + torch.where(x > 0.3, 0.5 * x, torch.zeros_like(x))


class Pooled(nn.Module):
    """Squares, and averages of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x) ** 2
        return self.dense(F.adaptive_avg_pool2d(x, 1).flatten(1) + x.var((2, 3), unbiased=False))


def networks():
    """Name, network, shape of a sample."""
    dense = [nn.Linear(6, 5), Square(), nn.Linear(5, 4)]
    yield "dense", nn.Sequential(*dense, Function(lambda x: 2 * x**3 - x / 4 + 1)), (6,)
    yield "softmax", nn.Sequential(*dense, nn.Softmax(dim=1)), (6,)
    yield "log_softmax", nn.Sequential(*dense, nn.LogSoftmax(dim=-1)), (6,)
    yield "argmax", nn.Sequential(*dense, Function(lambda x: x.argmax(1))), (6,)
    yield "sigmoid", nn.Sequential(nn.Linear(6, 1), nn.Sigmoid()), (6,)
    yield "conv1d", nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, dilation=2, padding=2), nn.BatchNorm1d(4), Square(),
        nn.AvgPool1d(2), nn.Flatten(), nn.Linear(12, 3),
    ), (2, 12)
    yield "conv2d", nn.Sequential(
        nn.Conv2d(2, 4, (3, 5), stride=(1, 2), padding=(1, 2), groups=2), nn.Identity(), Square(),
        nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False, ceil_mode=True),
        nn.Conv2d(4, 4, 2, padding="same", bias=False),
        nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ), (2, 7, 8)
    yield "residual", Residual(), (3, 8, 8)
    yield "shapes", Shapes(), (2, 3, 4)
    yield "moves", Moves(), (4, 6, 7)
    yield "assignments", Assignments(), (3, 4, 2)
    yield "upsampling", Upsampling(), (2, 4, 4)
    yield "products", Products(), (3, 4)
    yield "chosen", Chosen(), (3, 4)
    yield "pooled", Pooled(), (2, 5, 5)


def randomise(network):
    """Batch normalisations as if trained."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values.normal_()
            module.running_var.uniform_(0.5, 2.0)


def export(network, x, path, dynamo):
    more = dict(dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), external_data=False) if dynamo else dict(
        opset_version=13, dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    torch.onnx.export(network, (x,), path, dynamo=dynamo, input_names=["x"], output_names=["y"], verbose=False, **more)
    model = onnx.load(path)
    # The newer exporter notes where in the sources each node stems from.
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            part.ClearField("metadata_props")
    onnx.save(model, path)


def pipelines():
    """One of each kind of linear model, and a perceptron of two classes."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    perceptron = MLPClassifier((3,), activation="identity", max_iter=50, random_state=0)
    yield "ridge", make_pipeline(MinMaxScaler(), Ridge()), 3
    yield "two_classes", make_pipeline(StandardScaler(), LogisticRegression()), 2
    yield "three_classes", make_pipeline(StandardScaler(), PCA(3), LogisticRegression()), 3
    yield "perceptron", make_pipeline(StandardScaler(), perceptron), 2


def write_pipeline(name, pipeline, classes):
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    x, y = x[y < classes].astype(np.float32), y[y < classes]
    path = HERE / f"{name}.onnx"
    path.write_bytes(to_onnx(pipeline.fit(x, y), x[:1]).SerializeToString())
    x = np.ascontiguousarray(x[::len(x) // SAMPLES][:SAMPLES])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    results = session.run(None, {session.get_inputs()[0].name: x})[-1]
    if isinstance(results, list):
        results = [[probability for _, probability in sorted(sample.items())] for sample in results]
    np.save(HERE / f"{name}.x.npy", x)
    np.save(HERE / f"{name}.y.npy", np.array(results, dtype=np.float32))
    print(name, x.shape[1:], path.stat().st_size)


def result(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, network, shape in networks():
        randomise(network)
        x = torch.randn(SAMPLES, *shape)
        y = []
        for dynamo, ending in ((False, "script"), (True, "dynamo")):
            path = HERE / f"{name}.{ending}.onnx"
            export(network.eval(), x, path, dynamo)
            y.append(result(path, x.numpy()))
        np.testing.assert_allclose(*y, rtol=1e-4, atol=1e-5)
        np.save(HERE / f"{name}.x.npy", x.numpy())
        np.save(HERE / f"{name}.y.npy", y[0].astype(np.float32))
        print(name, shape, y[0].shape[1:], *(onnx.load(HERE / f"{name}.{e}.onnx").ByteSize() for e in ("script", "dynamo")))
    for pipeline in pipelines():
        write_pipeline(*pipeline)
