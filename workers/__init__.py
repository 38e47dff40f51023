"""Brings other systems up to date."""
