"""Start TensorFlow without its start-up noise: import this module before Keras.

TensorFlow's own variable, `TF_CPP_MIN_LOG_LEVEL`, still decides where it is set.
"""

import os
import sys

if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # While it is imported TensorFlow 2.21 writes some lines past that variable, from
    # C++, straight to file descriptor 2. Errors in the import are still raised.
    stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        sys.stderr.flush()
        os.dup2(devnull.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
