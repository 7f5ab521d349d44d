"""Other projects' evaluations as gates: their packages ask and score, Fairlead compares.

Nothing here is imported before it is needed: the packages are extras.
"""
