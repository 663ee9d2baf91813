"""The search for settings: what is tried, what came of it, and the config that says so."""
