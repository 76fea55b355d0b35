"""The compiled engine: training steps of small convolutional networks on a CPU, in float32.

:mod:`.build` compiles ``engine.cpp`` with the system's g++, :mod:`.plan` finds out whether a
network is one that it can train, :mod:`.engine` does a run's steps, :mod:`.choice` decides.
"""
