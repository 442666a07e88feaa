"""Verbs of the station device: looking at a station at work. See tools/cli.py."""
