"""Labels leave the store: records, raw answers, a data card and a manifest.

People appear under pseudonyms that are of one export alone. `write` makes exports; `settings` can
be imported without a database driver.
"""
