"""Training: the loop and what it needs. Knows no recipe and no data set."""
