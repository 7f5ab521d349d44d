"""What audits ask about, read from files: one module per published format."""

from fairlead.audits.items.reading import BadItem, Items, read_items

__all__ = ["BadItem", "Items", "read_items"]
