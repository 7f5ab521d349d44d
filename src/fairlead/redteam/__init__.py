"""Attacks on a policy: what is asked, how it is dressed up, and how often harm comes out."""
