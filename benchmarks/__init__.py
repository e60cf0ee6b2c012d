"""What bhyvesim costs: ``make bench`` measures it and rewrites docs/performance.md."""
