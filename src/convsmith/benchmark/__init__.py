"""Timing networks in several engines, each in a process of its own, in turns."""
