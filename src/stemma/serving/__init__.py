"""Runs of every generation behind one HTTP server."""
