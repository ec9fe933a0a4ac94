"""Smaller and faster networks: folding, integers, pruning, and what each of them costs."""
