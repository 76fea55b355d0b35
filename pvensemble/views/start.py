"""What the launcher gives to ParaView's window: links loaded states, builds the scene named."""

import os

from pvensemble.views import attach
from pvensemble.views.scenes import load_scene

attach.attach_to_loaded_states()
if os.environ.get("PVENSEMBLE_SCENE"):
    scene = load_scene(os.environ["PVENSEMBLE_SCENE"])
    opened = scene.build(os.environ.get("PVENSEMBLE_FILE"))
