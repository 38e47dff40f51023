"""Fuzzing of what strangers can reach: `make fuzz RUNS=1000000`, and a bounded run in every test run."""
