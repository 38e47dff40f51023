"""The systems that follow Capsule, one folder each."""
