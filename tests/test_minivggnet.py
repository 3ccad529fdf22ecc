import keras
import numpy as np
import pytest
from keras import layers

from pyimagesearch.minivggnet import MiniVGGNet

BLOCK = ["Conv2D", "Activation", "BatchNormalization"] * 2 + ["MaxPooling2D", "Dropout"]
HEAD = ["Flatten", "Dense", "Activation", "BatchNormalization", "Dropout"]
HEAD += ["Dense", "Activation"]


def test_it_has_the_tutorials_layers_in_their_order():
    model = MiniVGGNet.build(width=28, height=28, depth=1, classes=10)
    assert [type(layer).__name__ for layer in model.layers] == BLOCK * 2 + HEAD
    assert model.count_params() == 1_679_082
    assert sum(np.prod(w.shape) for w in model.trainable_variables) == 1_677_674

    relu, softmax = keras.activations.relu, keras.activations.softmax
    for kind, name, expected in [
        (layers.Conv2D, "filters", [32, 32, 64, 64]),
        (layers.Conv2D, "kernel_size", [(3, 3)] * 4),
        (layers.Conv2D, "padding", ["same"] * 4),
        (layers.MaxPooling2D, "pool_size", [(2, 2)] * 2),
        (layers.Dropout, "rate", [0.25, 0.25, 0.5]),
        (layers.Activation, "activation", [relu] * 5 + [softmax]),
        # Keras' defaults, as in the tutorial.
        (layers.BatchNormalization, "momentum", [0.99] * 5),
        (layers.BatchNormalization, "epsilon", [1e-3] * 5),
    ]:
        found = [getattr(x, name) for x in model.layers if isinstance(x, kind)]
        assert found == expected, name


@pytest.mark.parametrize(
    "data_format, shape",
    [("channels_last", (8, 12, 3)), ("channels_first", (3, 8, 12))],
)
def test_it_takes_images_of_any_size_and_has_any_classes(data_format, shape):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        model = MiniVGGNet.build(width=12, height=8, depth=3, classes=4)
    finally:
        keras.config.set_image_data_format(before)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 4)
    # Each channel is normalized.
    gammas = [w.shape for w in model.trainable_variables if w.name == "gamma"]
    assert gammas == [(32,), (32,), (64,), (64,), (512,)]
