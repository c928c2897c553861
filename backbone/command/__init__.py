"""The command line: flags and options, exit paths, atomic file writes."""
