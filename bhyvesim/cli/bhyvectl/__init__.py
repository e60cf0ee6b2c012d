"""bhyvectl's manner: options alone, in its order of work."""
