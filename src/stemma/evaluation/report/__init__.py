"""The page of a comparison: headline, tables, charts, words."""
