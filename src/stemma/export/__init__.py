"""Run folders to the formats that others read, and back."""
