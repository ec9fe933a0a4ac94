"""Writing trained networks for others: graphs, files, bundles, and the proof that they agree."""
