"""VM descriptions from what other programs read and print."""
