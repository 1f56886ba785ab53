"""The command line. `main` dispatches, `commands` lists, one module for each kind of errand does the work."""
