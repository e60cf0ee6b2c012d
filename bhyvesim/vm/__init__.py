"""The userspace side: what a VMM allocates, maps and does for its guest."""
