"""What goes onto a board: the interpreter's image, the firmware, the station's own files.

| module | holds |
|---|---|
| `run.py`, `shown.py` | the story: reach the board, check, say what is to be done, do it, hear it greet |
| `kinds.py` | the boards that the firmware runs on, and what has to be true of one |
| `images.py` | what a .uf2 or .bin is for, and whether it is whole |
| `write_image.py` | an image comes onto the board: by the drive of a UF2 boot loader, or by esptool |
| `board.py` | what is asked of a board, and a board behind a MicroPython prompt (mpremote) |
| `on_board.py` | runs on the board: looks at its files |
| `reach.py` | how a board's prompt is reached, also while the station runs; how it starts again |
| `wanted.py` | the files that the board is to hold |
| `plan.py` | from what is on the board to what is wanted: steps in an order that may end anywhere |
| `carry.py` | does the steps |
| `hand_over.py` | the seal key: whether a board has it already, and that it does not stay on this machine |
"""
