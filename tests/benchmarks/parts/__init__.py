"""The parts of `make bench`: each a module with `run(sizes) -> Result`, SIZES for `make bench` and `make bench-full`."""
