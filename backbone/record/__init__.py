"""Rows and records, and the folders that hold them: written and read, never printed."""
