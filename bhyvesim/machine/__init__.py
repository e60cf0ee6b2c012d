"""A virtual machine on a simulated kernel: segments, memmaps, reinit, destroy."""
