"""The command line: each command parses, calls its verb in ``api``, and prints."""
