"""Reports, made from run folders only."""
