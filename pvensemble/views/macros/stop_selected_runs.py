"""Ask the training to stop the runs that are selected; Output Messages say what was asked."""

from pvensemble.views.steering import stop_selected_runs

stop_selected_runs()
