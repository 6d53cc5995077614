"""A finished run in use: opened and read; its words, scores and text."""
