"""The simulated kernel: everything that a panic stack can name."""
