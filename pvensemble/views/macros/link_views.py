"""Link the views of runs and make them follow the mouse, for example after File > Load State."""

from pvensemble.views.attach import attach

attach()
