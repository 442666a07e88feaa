"""Verbs of the station device: the commissioning sheet. See tools/cli.py."""
