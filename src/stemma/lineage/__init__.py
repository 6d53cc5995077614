"""The family tree: the table of generations, and one file for each."""
