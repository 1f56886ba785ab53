"""Every LLM call becomes exactly one span, with its parent and its cost, delivered, and provably so."""
