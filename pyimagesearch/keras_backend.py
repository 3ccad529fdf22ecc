"""Import this before Keras: where Keras does not start on TensorFlow, it says so."""

from pyimagesearch import endings

with endings.in_one_line():
    advice = "set KERAS_BACKEND=tensorflow and install requirements.txt"
    try:
        import keras
    except (ImportError, ValueError) as error:
        raise endings.ExplainedError(
            f"Keras does not start ({error}): {advice}"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise endings.ExplainedError(
            f"Keras runs on {keras.backend.backend()}, and this needs TensorFlow: {advice}"
        )
