"""Reward sources behind one protocol."""
