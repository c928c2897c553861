"""A pass cut into operations: observed, recorded, marked, proven, and what each must cost."""
