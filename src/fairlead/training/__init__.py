"""The one loop, its sources, checkpoints and schedules."""
