"""Compiled code (Numba): no torch, no files; one file an idea."""
