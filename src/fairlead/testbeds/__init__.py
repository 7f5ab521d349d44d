"""Small worlds with a known truth, and annotators with known faults."""
