"""Frames, stamps and OTLP: bytes to values and back, no input or output."""
