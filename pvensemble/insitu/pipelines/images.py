"""Pictures of scenes as training goes on, and an index of them (Cinema D).

Each step at which it is executed leaves ``performance_000100.png`` for each layout of each scene
(``views=yes``: and for each view); ``data.csv`` lists them, so that a Cinema viewer opens the
folder.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from paraview import catalyst
from paraview import simple as pv

from pvensemble.insitu.cinema import CinemaIndex
from pvensemble.insitu.settings import settings
from pvensemble.launcher.pictures import picture_size
from pvensemble.launcher.scenes import scene_files
from pvensemble.views import layout, pipeline, render
from pvensemble.views.enlarge import enlarge, factor_for
from pvensemble.views.scenes import load_scene

OPTIONS = {
    "scene": ("performance", "scenes by name, or a scene file; several with commas", "scenes"),
    "size": ("1920x1200", "width x height of a layout in pixels", "picture size"),
    "views": ("no", "yes: a picture of every view as well", ("one of", "yes", "no")),
}

chosen = settings()
options = catalyst.Options()
size = picture_size(chosen["size"])
scenes = []
index = CinemaIndex(chosen.output)


def catalyst_execute(info):
    if not scenes:
        for file in scene_files(chosen["scene"]):
            scenes.append(load_scene(file).build(str(chosen.ensemble), size=size))
            enlarge(scenes[-1].views.values(), scenes[-1].keep, factor_for(size))
    clock = pv.GetAnimationScene()
    clock.UpdateAnimationUsingDataTimeSteps()
    clock.AnimationTime = info.time
    files = {}
    chosen.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".drawing-", dir=chosen.output) as folder:
        for scene in scenes:
            pipeline.judge_from(scene.sources["measures"], pipeline.EARLY)
            layout.smooth(scene.views.values(), always=True)
            drawn = render.save_layouts(scene, Path(folder), size)
            if chosen["views"] == "yes":
                drawn += render.save_views(scene, Path(folder))
            for file in drawn:
                name = f"{file.stem}_{info.timestep:06d}{file.suffix}"
                files[f"FILE_{file.stem}"] = file.rename(chosen.output / name)
    index.add(info.timestep, files)
