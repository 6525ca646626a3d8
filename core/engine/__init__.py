"""Runs split networks and explains them. The only package, with the tasks' network.py and learn.py, that imports torch."""
