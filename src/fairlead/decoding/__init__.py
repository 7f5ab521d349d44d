"""Alignment while decoding: the policy stays as it is, a reward chooses what it says."""
