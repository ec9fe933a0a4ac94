"""The command line: one file a command. Commands parse, call the API and print; nothing else."""
