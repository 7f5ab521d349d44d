"""What runs inside the sandbox: standard library only, so that it starts in 20 milliseconds."""
