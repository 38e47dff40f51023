"""What things mean: pure functions of values, without I/O and without a clock."""
