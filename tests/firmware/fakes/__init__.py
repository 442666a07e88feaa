"""Stand-ins for the modules of real boards, and what is tried on them inside MicroPython (test_boards.py)."""
