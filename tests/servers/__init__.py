"""Real servers for tests, started on loopback ports and stopped again by those who started them.

A server that is not installed is a failure, not a skip: `make test` installs them (tests/setup/servers).
"""
