"""What the launcher gives to ParaView: builds the scene that the environment names."""

import os

from pvensemble.views.scenes import load_scene

scene = load_scene(os.environ["PVENSEMBLE_SCENE"])
opened = scene.build(os.environ.get("PVENSEMBLE_FILE"))
