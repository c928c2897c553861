"""A pass cut into operations: observed, recorded, marked, proven equal to stock, and costed."""
