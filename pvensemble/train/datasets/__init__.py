"""Readers of data sets in their published formats, one module a format; no torch."""
