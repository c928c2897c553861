"""Intervals of means and ratios over rounds, and the rule that stops a measurement."""
