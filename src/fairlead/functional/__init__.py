"""Tensor maths that two or more objectives share."""
