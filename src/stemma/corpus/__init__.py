"""Reads the user's text: formats, encodings, documents, sentences, splits, and the ledger of every character."""
