"""Pages that people look at: the report of a run, several runs compared, the list of all runs."""
