"""Understanding a trained network: one method a file. Knows no recipe, network or data set."""
