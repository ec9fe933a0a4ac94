"""Training: the loop and what it needs. Takes a module and batches; knows no recipe and no data set."""
