"""Inner loops as machine code: compiled once with numba, kept on disk, placed in memory.

`table.py` lists the functions; docs/engine.md says how one is added, and how to run them uncompiled.
"""
