"""What holds for every test: no accelerator, no chatter of TensorFlow, no telemetry.

Outside tools: tests/requirements.py.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("FEAST_USAGE", "False")
