"""One file per objective: settings, needs and maths together."""
