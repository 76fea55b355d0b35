"""Data sets: values as published, splits that do not overlap, and bad files that are refused."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import sys

import numpy as np
import pytest
import torch

from pvensemble.errors import ConfigError, DataError
from pvensemble.train.config import DataConfig
from pvensemble.train.data import batch_indices, load_data
from pvensemble.train.datasets import cifar, idx
from pvensemble.train.datasets import raw as raw_files


@pytest.fixture(autouse=True)
def no_directory_from_outside(monkeypatch):
    monkeypatch.delenv("PVENSEMBLE_DATA", raising=False)


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# -- digits ----------------------------------------------------------------------------------------


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = load_data(DataConfig(test=200))
    assert (len(data.train), len(data.validation), len(data.test)) == (1297, 300, 200)
    assert (data.n_classes, data.input_shape) == (10, (1, 8, 8))
    images = torch.cat([data.train.images, data.validation.images, data.test.images])
    expected = load_digits()
    np.testing.assert_array_equal(images[:, 0].numpy(), expected.images.astype(np.float32) / 16)
    labels = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
    np.testing.assert_array_equal(labels.numpy(), expected.target)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert data.train.images.is_contiguous()


def test_digits_are_upsampled():
    data = load_data(DataConfig(size=28))
    small = load_data(DataConfig())
    assert data.input_shape == (1, 28, 28)
    # Bilinear interpolation keeps the mean to a few per cent and never leaves the range.
    assert abs(data.train.images.mean() - small.train.images.mean()) < 0.02
    assert data.train.images.max() <= 1
    assert not torch.equal(data.train.images[0], data.train.images[1])


def test_splits_are_disjoint_and_seeded():
    config = DataConfig(split_seed=3)
    data = load_data(config)
    again = load_data(config)
    splits = [data.train, data.validation, data.test]
    rows = [{im.numpy().tobytes() for im in s.images} for s in splits]
    # scikit-learn's digits hold no image twice.
    assert sum(map(len, rows)) == sum(map(len, splits)) == len(set.union(*rows)) == 1797
    assert torch.equal(data.validation.images, again.validation.images)
    other = load_data(DataConfig(split_seed=4))
    assert not torch.equal(data.validation.images, other.validation.images)


@pytest.mark.parametrize("subtract", ["mean_image", "mean_channel"])
def test_mean_of_the_training_split_is_taken_away(subtract):
    data = load_data(DataConfig(subtract=subtract, train=500, scale=1.0))
    mean = data.train.images.mean(dim=0)
    if subtract == "mean_channel":
        mean = mean.mean()
    assert mean.abs().max() < 1e-5
    assert data.validation.images.mean(dim=0).abs().max() > 0.01


def test_probe_is_the_start_of_the_validation_split():
    data = load_data(DataConfig())
    assert torch.equal(data.probe(7), data.validation.images[:7])
    with pytest.raises(DataError, match=r"record.probe: got 301, allowed: at most the 300 images"):
        data.probe(301)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig(train=1198), r"data.train: got 1198, allowed: 1 to 1197"),
        (DataConfig(validation=1500), r"data.validation: got 1500, allowed: 1 to 1497"),
        (DataConfig(test=1798), r"data.test: got 1798, allowed: 1 to 1797"),
    ],
)
def test_split_larger_than_the_set_is_refused(config, message):
    with pytest.raises(DataError, match=message):
        load_data(config)


# -- idx -------------------------------------------------------------------------------------------


def idx_images(images: np.ndarray) -> bytes:
    return struct.pack(">4i", 2051, *images.shape) + images.tobytes()


def idx_labels(labels: np.ndarray) -> bytes:
    return struct.pack(">2i", 2049, len(labels)) + labels.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Write a small set in idx format, half of it packed, and return directory and arrays."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    arrays = {}
    for prefix, n in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (n, 6, 5), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        arrays[prefix] = images, labels
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_images(images)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_labels(labels))
    return tmp_path, arrays


MNIST = DataConfig(source="mnist", validation=10, scale=1.0)


def test_idx_files_are_read_packed_or_not(mnist):
    root, arrays = mnist
    data = load_data(MNIST, root)
    images = torch.cat([data.train.images, data.validation.images])
    np.testing.assert_array_equal(images[:, 0].numpy(), arrays["train"][0])
    np.testing.assert_array_equal(data.test.images[:, 0].numpy(), arrays["t10k"][0])
    np.testing.assert_array_equal(data.test.labels.numpy(), arrays["t10k"][1])
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)


def test_validation_may_come_from_the_test_set(mnist):
    root, arrays = mnist
    data = load_data(
        DataConfig(source="mnist", validation=5, validation_from="test", scale=1.0), root
    )
    assert (len(data.train), len(data.validation), len(data.test)) == (40, 5, 15)
    np.testing.assert_array_equal(data.validation.images[:, 0].numpy(), arrays["t10k"][0][15:])
    np.testing.assert_array_equal(data.test.images[:, 0].numpy(), arrays["t10k"][0][:15])


def test_directory_is_looked_for_in_order(mnist, tmp_path, monkeypatch):
    root, _ = mnist
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PVENSEMBLE_DATA", str(root))
    assert len(load_data(MNIST).test) == 20
    assert len(load_data(MNIST, empty).test) == 20
    monkeypatch.delenv("PVENSEMBLE_DATA")
    inside = DataConfig(source="mnist", dir=str(root / "MNIST" / "raw"), validation=10)
    assert len(load_data(inside).test) == 20
    with pytest.raises(
        DataError, match=r"mnist: no file train-images.*looked in .*empty.*--data DIR"
    ):
        load_data(MNIST, empty)
    with pytest.raises(DataError, match="no directory was given"):
        load_data(MNIST)
    with pytest.raises(DataError, match="none: no such directory"):
        load_data(MNIST, tmp_path / "none")


def test_fashion_mnist_is_not_taken_for_mnist(mnist):
    root, _ = mnist
    with pytest.raises(DataError, match="fashion-mnist: no file"):
        load_data(DataConfig(source="fashion-mnist"), root)


def cut(content: bytes) -> bytes:
    return content[:-1]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("train-images-idx3-ubyte.gz", cut, "truncated gzip|damaged gzip"),
        ("train-images-idx3-ubyte.gz", lambda b: b[: len(b) // 2], "truncated gzip file"),
        ("train-images-idx3-ubyte.gz", lambda b: b[:40] + b"x" * 9 + b[49:], "damaged gzip"),
        ("train-images-idx3-ubyte.gz", lambda b: b"", "less than an idx header"),
        (
            "train-images-idx3-ubyte.gz",
            lambda b: cut(gzip.decompress(b)),
            r"1199 bytes of data, expected 1200 .*\(40, 6, 5\)",
        ),
        (
            "train-images-idx3-ubyte.gz",
            lambda b: idx_labels(np.arange(40)),
            r"got magic 2049 \(these are labels\), expected 2051",
        ),
        (
            "train-images-idx3-ubyte.gz",
            lambda b: struct.pack(">4i", 2051, -1, 6, 5),
            "truncated or corrupt",
        ),
        ("train-labels-idx1-ubyte", cut, "39 bytes of data, expected 40"),
        ("train-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0a", "got label 10, expected 0 to 9"),
        (
            "train-labels-idx1-ubyte",
            lambda b: idx_labels(np.zeros(39)),
            r"labels of shape \(39,\), expected one for each of the 40 images",
        ),
    ],
)
def test_damaged_idx_file_is_refused(mnist, name, damage, message):
    root, _ = mnist
    path = root / "MNIST" / "raw" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        load_data(MNIST, root)
    assert str(path) in str(caught.value)


def test_missing_labels_are_named(mnist):
    root, _ = mnist
    (root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no file t10k-labels-idx1-ubyte"):
        load_data(MNIST, root)


def test_gzip_bomb_is_stopped(tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(DataError, match="more than the 1000 bytes it may have"):
        raw_files.read_bytes(path, 1000)


# -- CIFAR-10 --------------------------------------------------------------------------------------


def coded(images: np.ndarray) -> np.ndarray:
    """Return images difference-coded, written independently of the decoder."""
    d = images.astype(int)
    d[:, 0] -= d[:, 1]
    d[:, 2] -= d[:, 1]
    d = np.diff(d, axis=3, prepend=0)
    d = np.diff(d, axis=2, prepend=0)
    return (d % 256).astype(np.uint8)


def cifar_arrays(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    return images, rng.integers(0, 10, n, dtype=np.uint8)


@pytest.fixture
def cifar_npz(tmp_path):
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    arrays = {}
    for name, n in (("train", 30), ("test", 12)):
        images, labels = arrays[name] = cifar_arrays(n, n)
        np.savez(folder / f"{name}.npz", images_delta=coded(images), labels=labels)
    return tmp_path, arrays


CIFAR = DataConfig(source="cifar10", validation=5, scale=1.0)


def test_difference_coded_images_are_decoded(cifar_npz):
    root, arrays = cifar_npz
    data = load_data(CIFAR, root)
    images = torch.cat([data.train.images, data.validation.images])
    np.testing.assert_array_equal(images.numpy(), arrays["train"][0])
    np.testing.assert_array_equal(data.test.labels.numpy(), arrays["test"][1])
    assert data.train.images.is_contiguous()


@pytest.fixture
def cifar_batches(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    everything = []
    for i, name in enumerate((*cifar.BATCHES, "test_batch")):
        images, labels = cifar_arrays(4, i)
        everything.append((images, labels))
        batch = {
            b"data": images.reshape(4, -1),
            b"labels": [int(v) for v in labels],
            b"batch_label": b"x",
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return tmp_path, everything


def test_published_batches_are_read_in_order(cifar_batches):
    root, everything = cifar_batches
    data = load_data(CIFAR, root)
    images = torch.cat([data.train.images, data.validation.images])
    np.testing.assert_array_equal(images.numpy(), np.concatenate([e[0] for e in everything[:5]]))
    np.testing.assert_array_equal(data.test.labels.numpy(), everything[5][1])


class Planted:
    """What an evil pickle holds."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickle_that_runs_a_program_is_stopped(cifar_batches, tmp_path):
    root, _ = cifar_batches
    planted = tmp_path / "planted"
    path = root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(pickle.dumps({b"data": Planted(planted), b"labels": []}, protocol=2))
    with pytest.raises(DataError, match=r"data_batch_3: refused: it asks for \w+.open"):
        load_data(CIFAR, root)
    assert not planted.exists()
    # The negative control: a plain reader is taken in.
    pickle.loads(path.read_bytes())[b"data"].close()
    assert planted.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "refused"),
        (b"\x80\x02", "refused"),
        (b"not a pickle", "refused"),
        (pickle.dumps([1, 2]), "not a CIFAR-10 batch"),
        (pickle.dumps({b"data": 3, b"labels": []}), "expected .n, 3072. bytes"),
        (pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [1, 2]}), r"\(2, 9\)"),
        (
            pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 99]}),
            "got label 99",
        ),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "each of the 2"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", "b"]}), "whole"),
    ],
)
def test_bad_batch_is_refused(tmp_path, content, message):
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        cifar.read_batch(path)
    assert str(path) in str(caught.value)


def test_bad_npz_is_refused(cifar_npz):
    root, arrays = cifar_npz
    path = root / "cifar-10" / "train.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train.npz: damaged npz file"):
        load_data(CIFAR, root)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(DataError, match="damaged npz file"):
        load_data(CIFAR, root)
    np.savez(path, images=arrays["train"][0])
    with pytest.raises(DataError, match="no array images_delta or labels"):
        load_data(CIFAR, root)
    np.savez(path, images_delta=np.zeros((2, 3, 32, 31), np.uint8), labels=np.zeros(2, int))
    with pytest.raises(DataError, match=r"expected uint8 \(n, 3, 32, 32\)"):
        load_data(CIFAR, root)
    np.savez(path, images_delta=np.array([{}], dtype=object), labels=np.zeros(2, int))
    with pytest.raises(DataError, match="damaged npz file"):
        load_data(CIFAR, root)


# -- .npy and torchvision --------------------------------------------------------------------------


@pytest.fixture
def npy(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 4, 3)))
    np.save(tmp_path / "y.npy", np.arange(50) % 3)
    return tmp_path


def npy_config(**changes):
    names = {"train_images": "x.npy", "train_labels": "y.npy", "validation": 10}
    return DataConfig(source="npy", **{**names, **changes})


def test_arrays_of_the_users_own(npy):
    data = load_data(npy_config(), npy)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 10)
    assert (data.n_classes, data.input_shape) == (3, (1, 4, 3))
    expected = np.load(npy / "x.npy").astype(np.float32)
    np.testing.assert_array_equal(data.test.images[:, 0].numpy(), expected[40:])
    np.testing.assert_array_equal(data.validation.images[:, 0].numpy(), expected[30:40])


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((20, 7), "float64", (7, 1, 1)),
        ((20, 4, 5), "int16", (1, 4, 5)),
        ((20, 3, 4, 5), "uint8", (3, 4, 5)),
    ],
)
def test_arrays_of_any_shape_become_images(tmp_path, shape, dtype, expected):
    np.save(tmp_path / "x.npy", np.full(shape, 51, dtype))
    np.save(tmp_path / "y.npy", np.arange(20) % 2)
    data = load_data(npy_config(validation=5), tmp_path)
    assert data.input_shape == expected
    value = 0.2 if dtype == "uint8" else 51.0
    assert data.train.images.unique().tolist() == pytest.approx([value])


def test_given_test_arrays_are_the_test_split(npy):
    np.save(npy / "tx.npy", np.ones((6, 4, 3)))
    np.save(npy / "ty.npy", np.array([0, 1, 2, 0, 1, 2]))
    data = load_data(npy_config(test_images="tx.npy", test_labels="ty.npy"), npy)
    assert (len(data.train), len(data.validation), len(data.test)) == (40, 10, 6)
    np.save(npy / "tx.npy", np.ones((6, 5, 3)))
    with pytest.raises(DataError, match=r"tx.npy: got images of \(1, 5, 3\), expected \(1, 4, 3\)"):
        load_data(npy_config(test_images="tx.npy", test_labels="ty.npy"), npy)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 2, 2, 2, 2)), np.zeros(3, int), r"x.npy: got shape \(3, 2, 2, 2, 2\)"),
        (np.zeros((0, 2)), np.zeros(0, int), r"x.npy: got shape \(0, 2\)"),
        (np.array(["a", "b"])[:, None], np.zeros(2, int), "expected numbers"),
        (np.full((3, 2), np.nan), np.zeros(3, int), "NaN or infinite"),
        (np.zeros((3, 2)), np.zeros(2, int), "y.npy: got labels of shape"),
        (np.zeros((3, 2)), np.zeros(3), "y.npy: got labels of type float64, expected whole"),
        (np.zeros((3, 2)), np.array([0, -1, 1]), "got label -1, expected 0 to 65535"),
        (np.zeros((3, 2)), np.array([0, 10**9, 1]), "got label 1000000000, expected 0 to 65535"),
        (np.zeros((3, 8, 8, 3)), np.zeros(3, int), "looks like .n, height, width, channels"),
        (np.full((3, 2), 1e300), np.zeros(3, int), "NaN or infinite"),
        (np.array([{}], dtype=object), np.zeros(1, int), "not a readable .npy array"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, images, labels, message):
    np.save(tmp_path / "x.npy", images, allow_pickle=True)
    np.save(tmp_path / "y.npy", labels)
    with pytest.raises(DataError, match=message):
        load_data(npy_config(), tmp_path)


def test_torn_array_is_refused(npy):
    content = (npy / "x.npy").read_bytes()
    (npy / "x.npy").write_bytes(content[:-100])
    with pytest.raises(DataError, match="x.npy: not a readable .npy array"):
        load_data(npy_config(), npy)


def test_missing_torchvision_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r"needs torchvision: pip install torchvision"):
        load_data(DataConfig(source="torchvision", dataset="SVHN"), tmp_path)


def test_torchvision_data_set_is_taken_over(monkeypatch, tmp_path):
    import types

    class KMNIST:
        def __init__(self, root, train, download) -> None:
            n = 20 if train else 8
            self.data = torch.full((n, 28, 28), 7, dtype=torch.uint8)
            self.targets = torch.arange(n) % 4

    module = types.ModuleType("torchvision")
    module.datasets = types.SimpleNamespace(__all__=["KMNIST"], KMNIST=KMNIST)
    monkeypatch.setitem(sys.modules, "torchvision", module)
    data = load_data(
        DataConfig(source="torchvision", dataset="KMNIST", validation=4, scale=1.0), tmp_path
    )
    assert (len(data.train), len(data.test), data.n_classes, data.name) == (16, 8, 4, "KMNIST")
    assert data.train.images.unique().tolist() == [7.0]
    with pytest.raises(DataError, match=r"torchvision has no 'KMINST'; did you mean 'KMNIST'"):
        load_data(DataConfig(source="torchvision", dataset="KMINST"), tmp_path)


# -- the real files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "mean", "std", "first_labels"),
    [
        ("mnist", 0.130660, 0.308108, [5, 0, 4, 1, 9]),
        ("fashion-mnist", 0.286041, 0.353024, [9, 0, 0, 3, 0]),
    ],
)
def test_real_idx_files_are_as_published(data_dir, source, mean, std, first_labels):
    data = load_data(DataConfig(source=source), data_dir)
    images = torch.cat([data.train.images, data.validation.images]).double()
    assert images.shape == (60_000, 1, 28, 28)
    assert float(images.mean()) == pytest.approx(mean, abs=1e-6)
    assert float(images.std(correction=0)) == pytest.approx(std, abs=1e-6)
    assert data.train.labels[:5].tolist() == first_labels
    assert len(data.test) == 10_000


def test_real_mnist_has_the_published_label_counts(data_dir):
    data = load_data(DataConfig(source="mnist"), data_dir)
    assert torch.bincount(data.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_real_cifar_npz_decodes_to_the_published_images(data_dir):
    images, labels = cifar.read_npz(data_dir / "cifar-10" / "test.npz")
    assert sha256(images) == "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56"
    assert (
        sha256(labels.astype(np.uint8))
        == "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"
    )


@pytest.mark.slow
def test_real_cifar_training_images_decode_to_the_published_ones(data_dir):
    images, _ = cifar.read_npz(data_dir / "cifar-10" / "train.npz")
    assert sha256(images) == "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"


def test_idx_reader_checks_the_magic_of_real_files(data_dir):
    path = data_dir / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    assert idx.read_idx(path, 2049)[:4].tolist() == [7, 2, 1, 0]
    with pytest.raises(DataError, match=r"got magic 2049 \(these are labels\), expected 2051"):
        idx.read_idx(path, 2051)


# -- data order ------------------------------------------------------------------------------------


def test_an_epoch_shows_every_image_once():
    batches = [batch_indices(7, 100, 20, step) for step in range(5)]
    assert sorted(np.concatenate(batches)) == list(range(100))
    assert all(b.dtype == np.int64 and b.shape == (20,) for b in batches)
    later = [batch_indices(7, 100, 20, step) for step in range(5, 10)]
    assert sorted(np.concatenate(later)) == list(range(100))
    assert not np.array_equal(batches[0], later[0])


def test_a_batch_does_not_depend_on_what_was_asked_before():
    in_order = [batch_indices(3, 50, 7, step).copy() for step in range(30)]
    from pvensemble.train import data_order

    for step in reversed(range(30)):
        data_order._permutation.cache_clear()
        np.testing.assert_array_equal(batch_indices(3, 50, 7, step), in_order[step])


def test_runs_of_other_seeds_see_other_orders():
    assert not np.array_equal(batch_indices(1, 1000, 64, 0), batch_indices(2, 1000, 64, 0))


def test_batch_indices_are_these():
    # A change here makes resumed trainings go on with other data.
    assert batch_indices(1, 10, 5, 0).tolist() == [6, 0, 7, 9, 4]
    assert batch_indices(1, 10, 5, 3).tolist() == [1, 4, 6, 8, 5]


def test_an_incomplete_batch_is_left_out():
    batches = [batch_indices(1, 10, 4, step) for step in range(2)]
    assert len(set(np.concatenate(batches))) == 8
    assert len(batch_indices(1, 10, 4, 2)) == 4


def test_batch_larger_than_the_set_is_refused():
    with pytest.raises(ConfigError, match="train.batch_size: got 11, allowed: at most the 10"):
        batch_indices(1, 10, 11, 0)
