"""Keras: a Sequential or functional model and `fit`, as in "Introduction to Keras for engineers".

https://keras.io/getting_started/intro_to_keras_for_engineers, on its PyTorch backend; padding, crop
and flip are its layers; without weight decay, which its SGD only has decoupled. With `--best` its
policy of mixed precision.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from common import WORKS, Steps, Work, arguments, arrays, report
from keras import layers


class Clock(keras.callbacks.Callback):
    """Record the end and the loss of every step."""

    def __init__(self, steps: Steps):
        super().__init__()
        self.steps = steps
        self.sum = 0.0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.steps.begin()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras gives the mean over the epoch so far.
        so_far = float(logs["loss"]) * (batch + 1)
        self.steps.end(so_far - self.sum)
        self.sum = so_far


def residual(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    """Return a basic block of ResNet-18."""
    options = {"use_bias": False, "kernel_initializer": "he_normal"}
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.Conv2D(width, 1, strides=stride, **options)(x)
        shortcut = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(shortcut)
    padded = layers.ZeroPadding2D(1)(x)
    out = layers.Conv2D(width, 3, strides=stride, **options)(padded)
    out = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(out))
    out = layers.Conv2D(width, 3, padding="same", **options)(out)
    out = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(out)
    return layers.ReLU()(layers.add([out, shortcut]))


def resnet18() -> keras.Model:
    """Return ResNet-18 for images of 32 by 32: 11,173,962 trainable parameters."""
    images = keras.Input((32, 32, 3))
    out = layers.Conv2D(64, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(
        images
    )
    out = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(out))
    for number, width in enumerate((64, 128, 256, 512)):
        out = residual(out, width, 1 if number == 0 else 2)
        out = residual(out, width, 1)
    logits = layers.Dense(10, dtype="float32")(layers.GlobalAveragePooling2D()(out))
    return keras.Model(images, logits)


def compact() -> keras.Model:
    """Return three convolutions and two dense layers: 2,473,610 parameters."""
    stages = [
        layer
        for width in (64, 128, 256)
        for layer in (
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
        )
    ]
    head = [layers.Flatten(), layers.Dropout(0.5), layers.Dense(512, activation="relu")]
    last = [layers.Dropout(0.5), layers.Dense(10, dtype="float32")]
    return keras.Sequential([keras.Input((32, 32, 3)), *stages, *head, *last])


def mnist() -> keras.Model:
    """Return two convolutions and two dense layers: 184,586 parameters."""
    stages = [
        layer
        for width in (32, 64)
        for layer in (layers.Conv2D(width, 5, activation="relu"), layers.MaxPooling2D())
    ]
    head = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)]
    last = layers.Dense(10, dtype="float32")
    return keras.Sequential([keras.Input((28, 28, 1)), *stages, *head, last])


class Batches(keras.utils.PyDataset):
    """Shuffled batches; padding, crop and flip by Keras's layers, a batch at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, work: Work):
        super().__init__()
        self.images = images.reshape(*images.shape[:3], len(work.mean))
        self.labels, self.work = labels, work
        self.order = np.random.permutation(len(images))
        steps = [layers.Rescaling(1 / 255)]
        if work.augment:
            steps += [layers.ZeroPadding2D(4), layers.RandomCrop(32, 32)]
            steps += [layers.RandomFlip("horizontal")]
        variance = [deviation**2 for deviation in work.std]
        self.change = [*steps, layers.Normalization(mean=work.mean, variance=variance)]

    def __len__(self) -> int:
        return len(self.images) // self.work.batch

    def __getitem__(self, index: int) -> tuple:
        chosen = self.order[index * self.work.batch : (index + 1) * self.work.batch]
        changed = self.images[chosen].astype("float32")
        for layer in self.change:
            changed = layer(changed, training=True) if "Random" in layer.name else layer(changed)
        return changed, self.labels[chosen]


def main() -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    keras.utils.set_random_seed(options.seed)
    if options.best:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = {"resnet18": resnet18, "compact": compact, "mnist": mnist}[options.work]()
    keras.mixed_precision.set_global_policy("float32")  # for the layers that change the images
    if work.momentum is None:
        optimizer = keras.optimizers.Adam(work.lr, epsilon=1e-8)
    else:
        optimizer = keras.optimizers.SGD(work.lr, work.momentum)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    steps = Steps()
    model.fit(
        Batches(*arrays(options.data), work),
        epochs=1,
        steps_per_epoch=options.steps,
        shuffle=False,
        verbose=0,
        callbacks=[Clock(steps)],
    )
    parameters = sum(int(np.prod(each.shape)) for each in model.trainable_weights)
    report("keras", "keras", options, parameters, steps)


if __name__ == "__main__":
    main()
