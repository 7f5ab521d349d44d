"""Items in the package's own words, so that audits run with nothing to download.

They are few and plain. Published sets say more; these say something at once.
"""
