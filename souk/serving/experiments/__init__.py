"""Experiments: which arm a request is answered by, what arms change, and what came of them."""
