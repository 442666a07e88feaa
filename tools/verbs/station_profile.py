"""Verbs of the station device: instruments' profiles. See tools/cli.py."""
