"""The impression log: records of answered requests, where they are written to, and how they are read again."""
