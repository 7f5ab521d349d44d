"""Recipes: stages, their cache and their order."""
