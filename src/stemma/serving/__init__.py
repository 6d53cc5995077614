"""Runs in service: every generation behind one HTTP server; the engines that compute them, and how fast each is here."""
