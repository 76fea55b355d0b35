"""A live connection to a ParaView window or pvserver that waits for one (Catalyst > Connect)."""

from paraview import catalyst
from paraview import simple as pv

from pvensemble.insitu.settings import settings

OPTIONS = {
    "host": ("localhost", "where ParaView or pvserver runs"),
    "port": ("22222", "port at which it waits", ("whole number", 1, 65535)),
}
DRAWS = False

chosen = settings()
options = catalyst.Options()
options.EnableCatalystLive = 1
options.CatalystLiveURL = f"{chosen['host']}:{chosen['port']}"

runs = pv.TrivialProducer(registrationName="runs")
tensors = pv.TrivialProducer(registrationName="tensors")


def catalyst_execute(info):
    for channel in (runs, tensors):
        channel.UpdatePipeline(info.time)
