"""`quantrac gateway install`, `upgrade`, `rollback`, `uninstall`: the gateway as a service of the machine."""
