"""`quantrac demo`: the whole chain on one machine. run.py is the story; the others are its parts."""
