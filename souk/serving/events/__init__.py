"""Events that a running server is sent: the route, the log on disk, and what they change in user states and counts."""
