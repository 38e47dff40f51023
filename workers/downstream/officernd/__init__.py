"""OfficeRnD, seen from a client."""
