"""Souk: a marketplace recommender, from events to served slates."""

import os

# Its builds for Linux tell Microsoft of each model that is read, and keep a queue of that in the home folder, from the
# moment it is imported (Privacy.md of ONNX Runtime). What is set stays as it is, and goes to each process started here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
