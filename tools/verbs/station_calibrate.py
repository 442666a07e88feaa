"""Verbs of the station device: calibrating a quantity. See tools/cli.py."""
