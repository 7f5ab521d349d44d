"""Intervals and tests in numpy and scipy. Never imports torch."""
