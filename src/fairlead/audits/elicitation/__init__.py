"""Ways to bring out of a model what it does not show: asking otherwise, reading, taking away."""
