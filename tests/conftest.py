"""What holds for every test: no accelerator, no chatter of TensorFlow, no telemetry.

Outside tools: tests/requirements.py.
"""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("FEAST_USAGE", "False")

# The detector's tests need its own environment (requirements/drift_test.txt); `make drift-test` runs them there.
collect_ignore = [] if importlib.util.find_spec("alibi_detect") else ["drift"]
