"""Signed commands of the department: what they are, what is done about them, and how they come."""
