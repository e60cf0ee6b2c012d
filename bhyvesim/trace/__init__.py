"""What dtrace does with firings: probes, predicates, aggregations."""
