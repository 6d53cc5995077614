"""Turns flat ids into batches: counts, windows, causal rows, masked sentence pairs."""
