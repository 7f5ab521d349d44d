"""Fairlead aligns language models with people's preferences and measures whether it worked."""

__version__ = "0.1.0"
