"""Verbs of the station device: updates, backups, restoring. See tools/cli.py."""
