"""Programs by others, built here, that read what we write (see README.md)."""
