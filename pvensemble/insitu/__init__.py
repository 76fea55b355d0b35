"""ParaView in the process that trains.

:class:`~pvensemble.insitu.observer.InSitu` looks at a training and lets ParaView Catalyst run
pipelines: shipped ones (:mod:`pvensemble.insitu.pipelines`) and any script of ParaView's "Save
Catalyst State". Nothing here needs torch; the trainer knows nothing of this package.
"""
