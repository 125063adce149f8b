"""Inner loops as machine code: compiled once with numba, kept on disk, placed in memory; `table.py` lists the functions."""
