"""The verbs: one file each. A verb takes plain arguments and returns a typed result."""
