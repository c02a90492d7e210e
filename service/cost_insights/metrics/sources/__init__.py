"""Facts, the numbers that metrics are computed from, and where each of them is read."""
