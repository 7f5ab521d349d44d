"""The sides of each comparison, every one a process of its own.

`X_fairlead` and `X_trl` do the same work; the latter run in the peer's environment and know
nothing of Fairlead. `on_fairlead` and `on_trl` hold what the sides of each have in common.
"""
