"""Networks that others wrote, each in a process of its own: what acceleration does for them."""
