"""A live connection to a ParaView window or pvserver that waits for one (Catalyst > Connect)."""

from paraview import catalyst
from paraview import simple as pv
from vtkmodules.vtkCommonCore import vtkOutputWindow

from pvensemble.insitu.ending import ending
from pvensemble.insitu.link import Link
from pvensemble.insitu.settings import settings

OPTIONS = {
    "host": ("localhost", "where ParaView or pvserver runs"),
    "port": ("22222", "port at which it waits", ("whole number", 1, 65535)),
}
DRAWS = False

options = catalyst.Options()
runs = pv.TrivialProducer(registrationName="runs")
tensors = pv.TrivialProducer(registrationName="tensors")
chosen = settings()
link = Link(
    chosen["host"],
    int(chosen["port"]),
    lambda text: vtkOutputWindow.GetInstance().DisplayText(f"{text}\n\n"),
    ending,
)


def catalyst_execute(info):
    for channel in (runs, tensors):
        channel.UpdatePipeline(info.time)
    link.show(options.SMProxy.GetSessionProxyManager(), info.timestep)
