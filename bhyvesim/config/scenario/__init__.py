"""The parts of a scenario file: matrix, steps, expectations."""
