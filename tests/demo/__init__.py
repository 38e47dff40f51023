"""`make demo`: Capsule Relay between a simulated Capsule and a simulated OfficeRnD, with edits, figures and a comparison."""
