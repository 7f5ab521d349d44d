"""Migrations of the store, run by `fairlead.feedback.store.migrate`."""
