"""Measurements of Fairlead against its peers; run as modules from the repository root."""
