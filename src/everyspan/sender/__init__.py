"""Frames from the spool to a destination: one thread, at least once, and a receipt that is true."""
