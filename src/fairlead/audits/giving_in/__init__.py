"""Ways in which a model can defer to its user: one module measures each, the audit gathers them."""
