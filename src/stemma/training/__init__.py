"""Pre-trains any row of the table: the wiring, the one loop, optimisers, precision, ranks."""
