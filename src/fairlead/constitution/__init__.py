"""Written principles, and feedback that follows them."""
