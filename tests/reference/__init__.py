"""Runs published reference values through Fairlead's own functions: `python -m tests.reference`.

An adapter per case (`cases_*.py`) only reshapes inputs and picks outputs; no formula is written
here, so a case that matches says something about the product.
"""
