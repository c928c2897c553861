"""Passes and what they take: times, page faults, peaks of memory, and the machine's ceilings."""
