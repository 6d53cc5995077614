"""The measures that fit a run, each from plain numbers, with their intervals."""
