"""A guest's address space: its mappings, and the nested page table under them."""
