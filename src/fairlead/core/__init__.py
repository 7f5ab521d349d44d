"""What every other part stands on: errors, seeds, metrics, estimates, atomic files."""
