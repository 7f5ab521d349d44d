"""Little worlds of text in which a model acts, and in which everything it does is seen."""
