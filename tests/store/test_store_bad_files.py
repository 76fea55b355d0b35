"""Every bad file gives an error that names it, says what is wrong and what to do."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import (
    LAYERS,
    SHAPES,
    create,
    sample_runs,
    sample_tensor,
    sample_tensors,
    write_sample,
)

from pvensemble.errors import (
    CorruptFileError,
    NotRecordedError,
    PVEnsembleError,
    SchemaError,
    StoreError,
)
from pvensemble.store import Ensemble, EnsembleWriter
from pvensemble.store.check import check_ensemble
from pvensemble.store.images import read_arrays, tensor_image
from pvensemble.store.journal import encode, parse


def group_dir(sample):
    return sample.with_name(sample.name + ".d") / "g000"


def change_manifest(sample, **changes):
    content = json.loads(sample.read_text())
    content.update(changes)
    sample.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def problems(sample):
    return [(f.path.rpartition("/")[2], f.text) for f in check_ensemble(sample).problems]


def test_clean_ensemble_has_no_findings(sample):
    report = check_ensemble(sample)
    assert report.findings == ()
    assert report.n_files == 1 + 3 * len(SHAPES) + 3 + 2  # index, tensors, metrics, checkpoints
    on_disk = [p for p in group_dir(sample).rglob("*") if p.is_file()]
    recorded = [p for p in on_disk if p.suffix != ".series"]
    assert report.n_bytes == sum(p.stat().st_size for p in recorded)


def test_missing_ensemble_names_those_that_are_there(sample):
    with pytest.raises(StoreError, match=r"samlpe\.pvens: there is no such.*sample\.pvens"):
        Ensemble.open(sample.with_name("samlpe.pvens"))


def test_directory_is_not_an_ensemble(sample):
    with pytest.raises(SchemaError, match=r"this is a directory.*sample\.pvens"):
        Ensemble.open(sample.parent)


def test_missing_data_directory(sample):
    shutil.rmtree(sample.with_name("sample.pvens.d"))
    with pytest.raises(
        CorruptFileError, match=r"sample\.pvens\.d: the data directory.*copy or move"
    ):
        Ensemble.open(sample)
    assert problems(sample) == [
        ("sample.pvens.d", "the data directory is missing; it belongs beside sample.pvens")
    ]


@pytest.mark.parametrize("size", [0, 1, 100])
def test_truncated_manifest(sample, size):
    sample.write_bytes(sample.read_bytes()[:size])
    with pytest.raises(SchemaError, match=r"sample\.pvens: the manifest is not JSON.*copy it"):
        Ensemble.open(sample)
    with pytest.raises(SchemaError, match="not JSON"):
        check_ensemble(sample)


@pytest.mark.parametrize("content", ["[1, 2]", '{"format": "other"}', "3", "{}"])
def test_other_json(sample, content):
    sample.write_text(content)
    with pytest.raises(SchemaError, match="not an ensemble's manifest|no manifest of an ensemble"):
        Ensemble.open(sample)


def test_not_text(sample):
    sample.write_bytes(bytes(range(256)))
    with pytest.raises(SchemaError, match="not JSON"):
        Ensemble.open(sample)


@pytest.mark.parametrize("version", [2, 99])
def test_newer_schema_is_refused(sample, version):
    change_manifest(sample, schema_version=version)
    with pytest.raises(SchemaError, match=f"version {version}.*up to 1; update pvensemble"):
        Ensemble.open(sample)


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.0])
def test_senseless_schema_version_is_refused(sample, version):
    change_manifest(sample, schema_version=version)
    with pytest.raises(SchemaError, match="expected a whole number from 1"):
        Ensemble.open(sample)


@pytest.mark.parametrize("key", ["name", "sessions", "hyper_parameters", "provenance"])
def test_incomplete_manifest(sample, key):
    change_manifest(sample, **{key: None})
    with pytest.raises(CorruptFileError, match=f"incomplete.*{key}"):
        Ensemble.open(sample)


def test_newer_group_is_refused(sample):
    path = group_dir(sample) / "index.pvj"
    header = parse(path.read_bytes()).records[0]
    path.write_bytes(encode(0, {**header, "version": 2}))
    with pytest.raises(CorruptFileError, match=r"index\.pvj: record 0.*update pvensemble"):
        Ensemble.open(sample)
    assert problems(sample)[0][0] == "index.pvj"


def test_records_of_later_releases_are_passed_over(sample):
    path = group_dir(sample) / "index.pvj"
    records = parse(path.read_bytes()).records
    path.write_bytes(path.read_bytes() + encode(len(records), {"type": "weather", "sun": True}))
    assert Ensemble.open(sample).recorded_steps == [0, 20, 40]


@pytest.mark.parametrize("record", [{"type": "state"}, {"type": "commit", "step": "x"}, {}])
def test_senseless_records_are_named(sample, record):
    path = group_dir(sample) / "index.pvj"
    count = len(parse(path.read_bytes()).records)
    path.write_bytes(path.read_bytes() + encode(count, record))
    with pytest.raises(CorruptFileError, match=rf"index\.pvj: record {count} of the index"):
        Ensemble.open(sample)


TENSOR = "conv1.weight/s000020.vtkhdf"


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_grow(path):
    path.write_bytes(path.read_bytes() + b"\0")


def damage_delete(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_truncate, r"has \d+ bytes, but the index says \d+.*copy it again"),
        (damage_grow, r"has \d+ bytes, but the index says \d+"),
        (damage_flip, "content is damaged.*SHA-256"),
        (damage_delete, "is missing; copy it back"),
    ],
)
def test_damaged_tensor_is_refused_and_reported(sample, damage, message):
    (group,) = Ensemble.open(sample).groups
    group.tensor("conv1", "weight", 20)  # verified once: damage after that is noticed, too
    damage(group_dir(sample) / TENSOR)
    for reader in (group, Ensemble.open(sample).groups[0]):
        with pytest.raises(CorruptFileError, match=f"s000020.vtkhdf.*{message}"):
            reader.tensor("conv1", "weight", 20)
        np.testing.assert_array_equal(
            reader.filters("conv1", "weight", 40), sample_tensor(("conv1", "weight"), 40, 4)
        )
    (found,) = problems(sample)
    assert found[0] == "s000020.vtkhdf"


def test_damaged_metrics_are_refused_and_reported(sample):
    damage_flip(group_dir(sample) / "metrics/s000020.hdf")
    with pytest.raises(CorruptFileError, match="metrics/s000020.hdf"):
        Ensemble.open(sample).curve("train_loss")
    assert [name for name, _ in problems(sample)] == ["s000020.hdf"]


def test_check_reports_every_problem_at_once(sample):
    group = group_dir(sample)
    damage_flip(group / "conv1.gradient/s000000.vtkhdf")
    damage_truncate(group / TENSOR)
    damage_delete(group / "metrics/s000040.hdf")
    damage_flip(group / "checkpoint-A.hdf")
    damage_flip(group / "checkpoint-B.hdf")
    assert sorted(name for name, _ in problems(sample)) == [
        "g000", "s000000.vtkhdf", "s000020.vtkhdf", "s000040.hdf"
    ]  # fmt: skip


def test_one_bad_checkpoint_is_what_a_kill_leaves(sample):
    damage_flip(group_dir(sample) / "checkpoint-A.hdf")
    report = check_ensemble(sample)
    assert report.problems == []
    assert [f.path.rpartition("/")[2] for f in report.findings] == ["checkpoint-A.hdf"]


def test_flipped_bit_in_the_index_is_a_problem_a_torn_tail_is_not(sample):
    path = group_dir(sample) / "index.pvj"
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    assert problems(sample) == []
    path.write_bytes(data.replace(b"COMPLETE", b"COMPLETF"))
    assert [name for name, _ in problems(sample)] == ["index.pvj"]
    assert Ensemble.open(sample).recorded_steps == [0, 20, 40]


def test_lost_index_and_lost_records_are_problems(sample):
    path = group_dir(sample) / "index.pvj"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))  # all commits are gone, cleanly
    assert "s000020.vtkhdf" in {name for name, _ in problems(sample)}
    path.write_bytes(b"")
    assert problems(sample) == [("index.pvj", "the index holds no runs")]
    path.unlink()
    assert problems(sample) == [("index.pvj", "the index is missing")]
    assert Ensemble.open(sample).n_runs == 0


def test_files_of_one_unacknowledged_commit_are_no_problem(sample):
    group = group_dir(sample)
    shutil.copy(group / TENSOR, group / "conv1.weight/s000060.vtkhdf")
    shutil.copy(group / TENSOR, group / "conv1.weight/.s000061.vtkhdf.77.tmp")
    report = check_ensemble(sample)
    assert report.problems == []
    assert len(report.findings) == 2


def test_empty_ensemble_says_so(tmp_path):
    path = tmp_path / "a.pvens"
    create(path).finish()
    ensemble = Ensemble.open(path)
    assert ensemble.n_runs == 0
    assert ensemble.summary()["n_runs"] == 0
    assert ensemble.run_table()["run_index"].shape == (0,)
    assert ensemble.accuracy_metric is None
    with pytest.raises(NotRecordedError, match=r"a\.pvens.*no metric is recorded yet"):
        ensemble.curve("loss")
    assert check_ensemble(path).findings == ()


def test_one_run_works(tmp_path):
    ensemble = Ensemble.open(write_sample(tmp_path / "one.pvens", n_runs=1))
    assert ensemble.n_runs == 1
    (group,) = ensemble.groups
    tensor = sample_tensor(("conv1", "weight"), 40, 1)
    np.testing.assert_array_equal(group.filters("conv1", "weight", 40), tensor)
    assert ensemble.curve("train_loss").values.shape == (1, 5)
    assert check_ensemble(ensemble.path).findings == ()


def test_unreadable_file_names_the_cause(sample, monkeypatch):
    import os

    (group,) = Ensemble.open(sample).groups

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"s000020\.vtkhdf.*Permission denied.*permissions"):
        group.tensor("conv1", "weight", 20)


# -- files that reach outside of themselves ----------------------------------------------------


def hdf5(build) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        build(file)
    return stream.getvalue()


def external_link(file):
    file["x"] = h5py.ExternalLink("/etc/hostname", "/y")


def soft_link(file):
    file["y"] = np.zeros(3)
    file["x"] = h5py.SoftLink("/y")


def nested_external_link(file):
    file.create_group("a/b")["x"] = h5py.ExternalLink("/etc/hostname", "/y")


def external_storage(file):
    file.create_dataset("x", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "y", (4,))
    file.create_virtual_dataset("x", layout)


def huge(file):
    file.create_dataset("x", (2**44,), "u1", chunks=(2**20,))


def texts(file):
    file["x"] = ["a", "b"]


def references(file):
    file["y"] = np.zeros(3)
    file.create_dataset("x", (1,), h5py.ref_dtype)[0] = file["y"].ref


def two_filters(file):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((8,))
    creation.set_deflate(1)
    creation.set_deflate(1)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT8, h5py.h5s.create_simple((8,)), creation)


def lzf(file):
    file.create_dataset("x", data=np.zeros(100), compression="lzf")


def named_type(file):
    file["x"] = np.dtype("f8")


def deep(file):
    file.create_group("a/" * 40)


HOSTILE = [
    external_link, soft_link, nested_external_link, external_storage, virtual, huge, texts,
    references, two_filters, lzf, named_type, deep,
]  # fmt: skip


@pytest.mark.parametrize("build", HOSTILE, ids=lambda f: f.__name__)
def test_hostile_file_is_refused(build, tmp_path):
    with pytest.raises(CorruptFileError, match="evil.hdf.*never read"):
        read_arrays(hdf5(build), path=tmp_path / "evil.hdf")


def test_harmless_file_is_read(tmp_path):
    """Negative control of the guard."""

    def build(file):
        file["a/b"] = np.arange(4)
        file.create_dataset("c", data=np.zeros((8, 8)), compression="gzip", shuffle=True)

    arrays = read_arrays(hdf5(build), path=tmp_path / "good.hdf")
    assert arrays["a/b"].tolist() == [0, 1, 2, 3]
    assert set(arrays) == {"a/b", "c"}


@pytest.mark.parametrize("size", [0, 1, 8, 100, 500, 2000])
def test_truncated_hdf5_is_refused(size, tmp_path):
    data, _ = tensor_image(np.zeros((2, 3, 4), np.float32), "weight")
    with pytest.raises(CorruptFileError, match=r"cut\.hdf"):
        read_arrays(data[:size], path=tmp_path / "cut.hdf")


def change_records(sample, change):
    """Change the records of an index, each with its right checksum again."""
    path = group_dir(sample) / "index.pvj"
    records = parse(path.read_bytes()).records
    for record in records:
        change(record)
    path.write_bytes(b"".join(encode(i, r) for i, r in enumerate(records)))


@pytest.mark.parametrize("offset", [10**9, 10**30, -8])
def test_index_that_points_outside_of_the_file_is_refused(sample, offset):
    change_records(sample, lambda r: [t.update(offset=offset) for t in r.get("tensors", [])])
    (group,) = Ensemble.open(sample).groups
    with pytest.raises(CorruptFileError, match="but the file has"):
        group.tensor("conv1", "weight", 20)


@pytest.mark.parametrize("stack", [[3, 15, 8], [4, 10**6, 10**6], [4, -15, -8], [2**62] * 3, []])
def test_index_with_impossible_shapes_is_refused(sample, stack):
    change_records(sample, lambda r: [t.update(stack=stack) for t in r.get("tensors", [])])
    with pytest.raises(CorruptFileError, match="not understood.*in a volume of shape"):
        Ensemble.open(sample)


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "conv1.weight/../../x", ""])
def test_index_that_names_files_elsewhere_is_refused(sample, name):
    change_records(sample, lambda r: [t.update(file=name) for t in r.get("tensors", [])])
    with pytest.raises(CorruptFileError, match="not understood"):
        Ensemble.open(sample)


def test_compressed_tensor_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "a.pvens"
    with create(path) as writer:
        group = writer.create_group(sample_runs(2), LAYERS)
        half = {k: v.astype(np.float16) for k, v in sample_tensors(0, 2).items()}
        group.commit(0, half)
    other = {"shape": [2, 3, 5, 4], "stack": [2, 10, 12]}  # the same number of values
    change_records(
        path, lambda r: [t.update(other) for t in r.get("tensors", []) if t["layer"] == "conv1"]
    )
    (group,) = Ensemble.open(path).groups
    with pytest.raises(CorruptFileError, match="holds no cell array 'weight' of shape"):
        group.tensor("conv1", "weight", 0)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", ".", "../x", "state", "inf", "é"])
)
JSON = st.recursive(
    SCALARS,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
    max_leaves=4,
)


def places(value, path=()):
    """Paths of all values inside a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def put(value, path, new):
    if not path:
        return new
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    path = write_sample(tmp_path_factory.mktemp("fuzz") / "sample.pvens", n_runs=2, steps=(0, 20))
    return path, path.read_bytes(), (group_dir(path) / "index.pvj").read_bytes()


def use_all(path):
    """Call everything that looks into an ensemble."""
    ensemble = Ensemble.open(path)
    ensemble.summary()
    ensemble.run_table()
    for metric in ensemble.metric_names:
        ensemble.curve(metric)
    for group in ensemble.groups:
        for layer, kind in group.index.tensors:
            for step in group.recorded_steps(layer, kind):
                group.filters(layer, kind, step)
    check_ensemble(path)
    with EnsembleWriter.open(path) as writer:
        for name in writer.group_names:
            writer.open_group(name).read_checkpoint()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_change_of_an_index_gives_another_error_than_ours(fuzzed, data):
    path, manifest, index = fuzzed
    path.write_bytes(manifest)
    records = parse(index).records
    i = data.draw(st.integers(0, len(records) - 1))
    place = data.draw(st.sampled_from(list(places(records[i]))))
    records[i] = put(records[i], place, data.draw(JSON))
    if not isinstance(records[i], dict):
        records[i] = {}
    (group_dir(path) / "index.pvj").write_bytes(
        b"".join(encode(n, r) for n, r in enumerate(records))
    )
    with contextlib.suppress(PVEnsembleError):
        use_all(path)
    outside = {p.name for p in path.parent.iterdir()} - {"sample.pvens", "sample.pvens.d"}
    assert not outside


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_change_of_a_manifest_gives_another_error_than_ours(fuzzed, data):
    path, manifest, index = fuzzed
    (group_dir(path) / "index.pvj").write_bytes(index)
    content = json.loads(manifest)
    place = data.draw(st.sampled_from(list(places(content))))
    path.write_text(json.dumps(put(content, place, data.draw(JSON))))
    with contextlib.suppress(PVEnsembleError):
        use_all(path)


def test_unchanged_files_give_no_error(fuzzed):
    """Negative control of the two tests above."""
    path, manifest, index = fuzzed
    path.write_bytes(manifest)
    (group_dir(path) / "index.pvj").write_bytes(index)
    use_all(path)


# -- JSON that is deeper than a parser goes ------------------------------------------------------

DEEP = b"[" * 100_000


def test_deep_json_in_a_manifest(sample):
    sample.write_bytes(DEEP)
    with pytest.raises(SchemaError, match=r"sample\.pvens: the manifest is not JSON"):
        Ensemble.open(sample)


def test_deep_json_in_an_index(sample):
    text = b"1 " + DEEP
    index = group_dir(sample) / "index.pvj"
    first = index.read_bytes().splitlines(keepends=True)[0]
    index.write_bytes(first + b"%08x %b\n" % (zlib.crc32(text), text))
    assert Ensemble.open(sample).recorded_steps == []
    assert ("index.pvj", "record 1 is damaged; it and 0 complete lines after it do not count") in (
        problems(sample)
    )


def test_deep_json_in_a_series(sample):
    (group_dir(sample) / "conv1.weight.vtkhdf.series").write_bytes(DEEP)
    ((name, text),) = problems(sample)
    assert name == "conv1.weight.vtkhdf.series"
    assert "cannot be read" in text
