"""A small server that lets any OpenAI client talk to an aligned model."""
