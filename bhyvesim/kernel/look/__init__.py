"""Looking inside a machine: questions that change nothing, answered as values."""
