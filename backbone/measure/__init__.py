"""Inside a timer's process: passes, turns, page faults, memory peaks, ceilings, the machine."""
