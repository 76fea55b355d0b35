"""Repeats the observations of the TensorViz poster; see ``__main__``."""
