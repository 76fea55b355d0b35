"""Decorated proxies, one module a kind; loaded by ``pvensemble_plugin.py``."""
