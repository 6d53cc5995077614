"""Learns and applies tokenizers, and keeps the token store: flat ids in memory-mapped arrays with their borders."""
