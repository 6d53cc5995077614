"""A finished run in use: opened, read, asked for words, scores and text."""
