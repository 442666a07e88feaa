"""Verbs of the station device: what goes onto a board. See tools/cli.py."""
