"""MiniVGGNet, the small VGG-like network that the tutorial trains."""

import keras
from keras import layers


class MiniVGGNet:
    """The tutorial's network: two blocks of convolutions, then two dense layers."""

    @staticmethod
    def build(width: int, height: int, depth: int, classes: int) -> keras.Sequential:
        """Build MiniVGGNet, not yet compiled.

        Args:
            width: width of the images, in pixels; at least 4, as it is halved twice.
            height: height of the images, in pixels; at least 4.
            depth: number of channels; 1 for greyscale images, 3 for RGB.
            classes: number of classes.

        Returns:
            A network from images to the probabilities of the classes, shape
            `(n, classes)`. The images have the shape `(n, height, width, depth)`, or
            `(n, depth, height, width)` where Keras is set to channels first.
        """
        if keras.config.image_data_format() == "channels_first":
            input_shape, channel_axis = (depth, height, width), 1
        else:
            input_shape, channel_axis = (height, width, depth), -1

        # Batch normalization comes after the ReLU, as in the tutorial.
        return keras.Sequential(
            [
                keras.Input(shape=input_shape),
                layers.Conv2D(32, (3, 3), padding="same"),
                layers.Activation("relu"),
                layers.BatchNormalization(axis=channel_axis),
                layers.Conv2D(32, (3, 3), padding="same"),
                layers.Activation("relu"),
                layers.BatchNormalization(axis=channel_axis),
                layers.MaxPooling2D(pool_size=(2, 2)),
                layers.Dropout(0.25),
                layers.Conv2D(64, (3, 3), padding="same"),
                layers.Activation("relu"),
                layers.BatchNormalization(axis=channel_axis),
                layers.Conv2D(64, (3, 3), padding="same"),
                layers.Activation("relu"),
                layers.BatchNormalization(axis=channel_axis),
                layers.MaxPooling2D(pool_size=(2, 2)),
                layers.Dropout(0.25),
                layers.Flatten(),
                layers.Dense(512),
                layers.Activation("relu"),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.Dense(classes),
                layers.Activation("softmax"),
            ]
        )
