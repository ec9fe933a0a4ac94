"""What a training takes before it is run: memory, time, and whether the design is sound."""
