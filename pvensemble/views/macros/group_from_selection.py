"""Make a run group, with a colour of its own, of the runs that are selected."""

from pvensemble.views.groups import group_from_selection

group_from_selection()
