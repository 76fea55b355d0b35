"""Train ensembles of neural networks and explore them in ParaView.

Importing the package imports neither torch nor vtk nor paraview: each layer brings its own.
"""

__version__ = "0.1.0"
