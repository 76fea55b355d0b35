"""The compiled engine: small convolutional networks on a CPU, in float32.

:mod:`.build` compiles ``engine.cpp`` and its headers with the system's g++, :mod:`.plan` finds out
whether a network is one that it can train, :mod:`.engine` does a run's steps and evaluations,
:mod:`.probes` holds what layers show meanwhile, :mod:`.choice` decides.
"""
