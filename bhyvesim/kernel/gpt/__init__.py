"""The nested page table: its leaves, and the kernel code that changes them."""
