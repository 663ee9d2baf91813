"""Loading TensorFlow without what its C++ parts print on the way, which no setting of theirs silences."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps stderr from the terminal, file descriptor and all; shown after all where an exception comes out."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    warnings.filterwarnings("ignore", message='Field name "vector_enabled"')  # Feast's, at every import
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def load_tensorflow() -> None:
    """Imports TensorFlow and wakes its devices, in silence."""
    with quiet_loading():
        import tensorflow

        tensorflow.constant(0)


def one_thread() -> None:
    """Each computation has one thread from here on, of libraries that are not imported yet.

    Those of a small computation wait for each other longer than they compute, and wait busily.
    """
    own = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # read where a model needs TensorFlow after all
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", *own), "1"))
