"""What no single generation owns: attention, dropout, losses."""
