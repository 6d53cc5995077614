"""Runs in service: the engines that compute them, and how fast each is here."""
