"""Measures runs, compares generations on the same work, and writes the report."""
