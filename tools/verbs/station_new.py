"""Verbs of the station device: a new station's folder. See tools/cli.py."""
