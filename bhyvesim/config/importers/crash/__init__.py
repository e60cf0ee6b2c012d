"""A VM from what a crashed kernel left: read, named, given a shape, and run."""
