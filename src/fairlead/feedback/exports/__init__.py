"""Labels leave the store: records for training, the raw answers beside them, a data card and a
manifest, under pseudonyms that are of this one export.

`write` makes exports. `settings` can be imported without a database driver.
"""
