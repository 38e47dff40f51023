"""Measured scripts: each prints its figures, with the machine and the versions."""
