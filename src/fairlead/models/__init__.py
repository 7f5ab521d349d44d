"""Loading, heads, adapters, and the one place where a model is called."""
