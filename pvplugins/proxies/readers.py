"""Proxies of the readers."""

PROXIES = ()
