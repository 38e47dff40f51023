"""Capsule, seen from a client."""
