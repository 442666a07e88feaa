"""The counts of the long run: promise -> what -> how many. Fewer reached is a failure of the run.

They are those of the design. (9) and (2) have none: there it is every operation.
"""

WANTED: dict[int, dict[str, int]] = {
    1: {"cuts": 1_000_000, "kills": 10_000},
    3: {"seeds": 5_000},
    4: {"inputs": 100_000_000},
    5: {"entries": 1_000},
    6: {"windows": 2_000_000},
    7: {"jumps": 20_000},
    8: {"station-days": 1_000},
    10: {"geometries": 4},
    11: {"vectors": 100_000},
    12: {"days": 365},
}
