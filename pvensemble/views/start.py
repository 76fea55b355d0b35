"""What the launcher gives to ParaView: builds the scene that the environment names."""

import os

from pvensemble.views.scenes import check_ensemble, load_scene

scene = load_scene(os.environ.get("PVENSEMBLE_SCENE", "performance"))
if os.environ.get("PVENSEMBLE_FILE"):
    opened = scene.build(str(check_ensemble(os.environ["PVENSEMBLE_FILE"])))
else:
    opened = scene.build()
