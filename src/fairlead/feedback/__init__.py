"""People label, nothing is lost, nobody is exposed. Never imports torch."""
