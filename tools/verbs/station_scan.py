"""Verbs of the station device: finding what is wired. See tools/cli.py."""
