"""A disk that takes no more."""

import contextlib
import resource


@contextlib.contextmanager
def largest_file(size):
    """Writes beyond `size` bytes fail, as on a full disk: part of what was given is taken first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
