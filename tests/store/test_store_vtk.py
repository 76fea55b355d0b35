"""Stock VTK opens what is stored, without our plugin and with identical values.

PyPI's vtk cannot live beside ParaView's in one interpreter, so it has an environment of its own:
``PVENSEMBLE_VTK_PYTHON``, or ``.venv-vtk`` in the checkout, which is made once.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import venv

import numpy as np
import pytest
from store_samples import LAYERS, SHAPES, create, sample_runs, sample_tensor, sample_tensors

from pvensemble.schema import PROBE_IMAGES
from pvensemble.store import Ensemble
from pvensemble.store.tiling import tile

READ = """
import json, sys
from pathlib import Path
import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOHDF import vtkHDFReader
from vtkmodules.vtkCommonCore import vtkVersion

found = []
for series in sys.argv[2:]:
    folder = Path(series).parent
    for entry in json.loads(Path(series).read_text())["files"]:
        reader = vtkHDFReader()
        reader.SetFileName(str(folder / entry["name"]))
        assert reader.CanReadFile(str(folder / entry["name"]))
        reader.Update()
        image = reader.GetOutput()
        cells = image.GetCellData()
        x, y, z = (n - 1 for n in image.GetDimensions())
        values = vtk_to_numpy(cells.GetArray(0)).reshape(z, y, x)
        name = f"{len(found)}.npy"
        np.save(Path(sys.argv[1]) / name, values)
        found.append({
            "series": Path(series).name, "time": entry["time"], "values": name,
            "class": image.GetClassName(), "arrays": [cells.GetArrayName(i) for i in
            range(cells.GetNumberOfArrays())], "points": image.GetPointData().GetNumberOfArrays(),
            "origin": image.GetOrigin(), "spacing": image.GetSpacing(),
        })
print(json.dumps({"version": vtkVersion().GetVTKVersion(), "found": found}))
"""


@pytest.fixture(scope="session")
def vtk_python(repository):
    """The interpreter of an environment with PyPI's vtk."""
    named = os.environ.get("PVENSEMBLE_VTK_PYTHON")
    if named:
        return named
    folder = repository / ".venv-vtk"
    python = folder / "bin" / "python"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            venv.create(folder, with_pip=True)
            install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "vtk"]
            done = subprocess.run(
                [*install, "numpy"], capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                pytest.skip(f"vtk cannot be installed into {folder}: {last}")
            (folder / ".complete").touch()
    return str(python)


def read_with_vtk(python, series, folder):
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VTK"))}
    done = subprocess.run(
        [python, "-c", READ, str(folder), *map(str, series)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ERR|" not in done.stderr, done.stderr
    result = json.loads(done.stdout)
    for entry in result["found"]:
        entry["values"] = np.load(folder / entry["values"])
    return result


@pytest.mark.parametrize("n_runs", [1, 2, 5])
def test_vtk_reads_identical_values_and_times(vtk_python, tmp_path, n_runs):
    path = tmp_path / "a.pvens"
    with create(path) as writer, writer.create_group(sample_runs(n_runs), LAYERS) as group:
        for step in (0, 20, 1000):
            group.commit(step, sample_tensors(step, n_runs))
    series = sorted((tmp_path / "a.pvens.d/g000").glob("*.series"))
    assert len(series) == len(SHAPES)
    found = read_with_vtk(vtk_python, series, tmp_path / "out")["found"]
    assert len(found) == 3 * len(SHAPES)
    seen = set()
    for entry in found:
        layer, _, kind = entry["series"].removesuffix(".vtkhdf.series").rpartition(".")
        assert entry["class"] == "vtkImageData"
        assert entry["arrays"] == [kind]
        assert entry["points"] == 0
        assert (entry["origin"], entry["spacing"]) == ([0, 0, 0], [1, 1, 1])
        expected = tile(sample_tensor((layer, kind), entry["time"], n_runs))
        assert entry["values"].dtype == np.float32
        np.testing.assert_array_equal(entry["values"], expected)
        ours = Ensemble.open(path).groups[0].tensor(layer, kind, entry["time"])
        np.testing.assert_array_equal(entry["values"], ours)
        seen.add((layer, kind, entry["time"]))
    assert seen == {(*key, step) for key in SHAPES for step in (0, 20, 1000)}


def test_vtk_reads_probe_images(vtk_python, tmp_path):
    path = tmp_path / "a.pvens"
    images = np.random.default_rng(0).random((1, 3, 4, 5, 6)).astype(np.float32)
    with create(path) as writer, writer.create_group(sample_runs(3), LAYERS) as group:
        group.commit(7, {**sample_tensors(7, 3), PROBE_IMAGES: images})
    series = [tmp_path / "a.pvens.d/g000/probe.image.vtkhdf.series"]
    (entry,) = read_with_vtk(vtk_python, series, tmp_path / "out")["found"]
    assert (entry["time"], entry["arrays"]) == (7, ["image"])
    assert entry["values"].shape == (1, 3 * 5, 4 * 6)
    np.testing.assert_array_equal(entry["values"], tile(images))
    (group,) = Ensemble.open(path).groups
    np.testing.assert_array_equal(group.filters(*PROBE_IMAGES, 7), images)
    assert [layer.name for layer in group.layers] == [layer.name for layer in LAYERS]


def test_vtk_reads_nan_and_compressed_values(vtk_python, tmp_path):
    path = tmp_path / "a.pvens"
    tensors = {key: t.astype(np.float16) for key, t in sample_tensors(3, 4).items()}
    tensors["conv1", "weight"][1, 2, 1, 3, 0] = np.nan
    tensors["conv1", "weight"][3, 0, 0, 0, 0] = -np.inf
    with create(path) as writer, writer.create_group(sample_runs(4), LAYERS) as group:
        group.commit(3, tensors)
    series = [tmp_path / "a.pvens.d/g000/conv1.weight.vtkhdf.series"]
    (entry,) = read_with_vtk(vtk_python, series, tmp_path / "out")["found"]
    np.testing.assert_array_equal(entry["values"], tile(tensors["conv1", "weight"]))


def test_reading_is_compared_at_all(vtk_python, tmp_path):
    """Negative control: a value changed on disk is seen by the comparison above."""
    path = tmp_path / "a.pvens"
    with create(path) as writer, writer.create_group(sample_runs(2), LAYERS) as group:
        group.commit(0, sample_tensors(0, 2))
    file = tmp_path / "a.pvens.d/g000/conv1.weight/s000000.vtkhdf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 0x40
    file.write_bytes(data)
    series = [file.parent.parent / "conv1.weight.vtkhdf.series"]
    (entry,) = read_with_vtk(vtk_python, series, tmp_path / "out")["found"]
    expected = tile(sample_tensor(("conv1", "weight"), 0, 2))
    assert np.count_nonzero(entry["values"] != expected) == 1
