"""Remove the first run group, which is the newest that was made from a selection."""

from pvensemble.views.groups import remove_first_group

remove_first_group()
