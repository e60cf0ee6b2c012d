"""The operations on a machine: the one vocabulary of recordings, scenarios and the host."""
