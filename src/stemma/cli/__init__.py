"""The command line: one verb a stage, grouped by what it is for; `main.py` holds the table of verbs."""
