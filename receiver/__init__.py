"""Answers the internet: verifies what Capsule pushes, admits it durably, says 202."""
