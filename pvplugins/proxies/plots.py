"""Proxies of the plots."""

PROXIES = ()
