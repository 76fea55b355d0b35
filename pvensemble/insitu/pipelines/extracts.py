"""Runs as VTP, their table with all metrics as CSV, plots as VTP, and an index of them (Cinema D).

Each step at which it is executed leaves ``runs_000100.vtp`` and ``runs_000100.csv``; ``data.csv``
lists them, so that a Cinema viewer opens the folder. Files appear once they are whole.
"""

from paraview import catalyst
from paraview import simple as pv
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from pvensemble.insitu.cinema import CinemaIndex, replaced
from pvensemble.insitu.settings import settings
from pvensemble.store.table import csv_text
from pvensemble.vtkdata.blueprint import as_runs
from pvensemble.vtkdata.runs import RunsData

OPTIONS = {
    "write": ("vtp,csv", "which of vtp, csv", ("any of", "vtp", "csv")),
    "plots": (
        "",
        "plots to write as VTP: any of ParallelCoordinates,LossAccuracyGraph",
        ("any of", "ParallelCoordinates", "LossAccuracyGraph"),
    ),
}
DRAWS = False

chosen = settings()
options = catalyst.Options()
runs = pv.TrivialProducer(registrationName="runs")
measures = pv.PerformanceMeasures(registrationName="measures", Input=runs)
plots = {
    name: getattr(pv, name)(registrationName=name, Input=measures) for name in chosen.names("plots")
}
index = CinemaIndex(chosen.output)


def catalyst_execute(info):
    data = as_runs(updated(runs, info.time))
    drawn = {name: updated(plot, info.time) for name, plot in plots.items()}  # by all ranks
    if data.GetNumberOfCells() == 0:
        return  # another rank holds the table
    files = {}
    written = chosen.names("write")
    if "vtp" in written:
        files["FILE_runs"] = write_vtp(data, f"runs_{info.timestep:06d}.vtp")
    if "csv" in written:
        files["FILE_table"] = chosen.output / f"runs_{info.timestep:06d}.csv"
        with replaced(files["FILE_table"]) as beside:
            beside.write_text(csv_text(RunsData(data).columns), encoding="utf-8")
    for name, plot in drawn.items():
        files[f"FILE_{name}"] = write_vtp(plot, f"{name}_{info.timestep:06d}.vtp")
    index.add(info.timestep, files)


def updated(source, time):
    """Return the data set of a source at a time."""
    source.UpdatePipeline(time)
    return source.GetClientSideObject().GetOutputDataObject(0)


def write_vtp(data, name):
    file = chosen.output / name
    with replaced(file) as beside:
        writer = vtkXMLPolyDataWriter()
        writer.SetFileName(str(beside))
        writer.SetInputData(data)
        writer.Write()
    return file
