"""What the relay does, step by step: synchronise one record, reconcile all."""
