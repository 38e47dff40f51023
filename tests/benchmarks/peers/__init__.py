"""What people would otherwise write: a webhook that queues a task for each event, with stock Dramatiq or Celery.

These modules run in the virtual environment of the benchmarks (`make bench-venv`), not in the project's.
"""
