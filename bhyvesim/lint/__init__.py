"""What an experienced reviewer sees in a VM, without running it."""
