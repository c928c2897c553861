"""Rows and records, and reading and writing the folders that hold them."""
