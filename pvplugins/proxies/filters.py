"""Proxies of the filters that add columns to the runs."""

PROXIES = ()
