"""Outside a timer's process: plans, rounds, turns, and storing results."""
