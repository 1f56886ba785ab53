"""A GitHub issue and everything that is linked with it, as a report; every model call of it is one span with a cost."""
