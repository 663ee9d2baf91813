"""Items that come, change or go while a release serves: the route, the log on disk, and what they change."""
