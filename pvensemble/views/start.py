"""What the launcher gives to ParaView's window: connects, links loaded states, builds scenes."""

import os
import sys

from paraview import print_error

from pvensemble.errors import PVEnsembleError
from pvensemble.views import attach, server
from pvensemble.views.scenes import load_scene

attach.attach_to_loaded_states()
try:
    if os.environ.get("PVENSEMBLE_SERVER"):
        server.connect(os.environ["PVENSEMBLE_SERVER"])
    # Kept, because the views follow the mouse as long as their scenes live.
    opened = [
        load_scene(file).build(os.environ.get("PVENSEMBLE_FILE"))
        for file in os.environ.get("PVENSEMBLE_SCENE", "").split(os.pathsep)
        if file
    ]
except PVEnsembleError as error:  # a user's mistake: its message says all there is to know
    print_error(f"pvensemble: {error}")
    if sys.argv[0].endswith("start.py"):  # a script in pvpython or pvbatch; a window stays open
        sys.exit(2)
server.watch_connections()
