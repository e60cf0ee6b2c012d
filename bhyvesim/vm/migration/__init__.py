"""A live migration rehearsed: rounds of dirty pages from one machine to another."""
