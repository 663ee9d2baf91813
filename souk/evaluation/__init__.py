"""What a release is worth: the protocol, baselines beside it, the gate, and the report."""
