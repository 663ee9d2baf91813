"""The graphs: which step follows which."""
