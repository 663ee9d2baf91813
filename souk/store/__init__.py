"""The store of user states: one interface, Feast behind it, and an in-memory one for tests and offline use."""
