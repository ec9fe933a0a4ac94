"""Runs: one folder each, with everything that belongs to one training."""
