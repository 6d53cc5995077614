"""The tasks: one file each, with its reader, heads, decoding, score and primary metric. Knows no training."""
