"""Printed text, tables and pictures, made from records."""
