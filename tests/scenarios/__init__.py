"""What workers of one group go through, each scenario on its own topics.

They are mostly waiting, for sessions to end and processes to start, so they are played side by
side by `tests/integration/test_engine_worker_group.py`.
"""
