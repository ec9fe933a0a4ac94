"""The networks: a dictionary of callables, one family a file.

A network is made by ``MODELS[name](num_classes, in_channels, image_size, **options)``, where
``image_size`` is (height, width). It maps float images ``(N, in_channels, height, width)`` to
logits ``(N, num_classes)``. Its keyword-only parameters are what a recipe may set under ``model``.
Too small an image raises :class:`convsmith.errors.ModelError`, which says what the smallest is.
"""

from collections.abc import Callable

from torch import nn

from convsmith.models.compact import compact_cnn
from convsmith.models.digits import digits_cnn
from convsmith.models.mlp import mlp
from convsmith.models.mnist import mnist_bn, mnist_cnn
from convsmith.models.pretrained import timm, torchvision
from convsmith.models.resnet import resnet_small, resnet_wide3
from convsmith.models.vgg import vgg_bn

__all__ = ["MODELS"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "compact_cnn": compact_cnn,
    "digits_cnn": digits_cnn,
    "mlp": mlp,
    "mnist_bn": mnist_bn,
    "mnist_cnn": mnist_cnn,
    "resnet_small": resnet_small,
    "resnet_wide3": resnet_wide3,
    "timm": timm,
    "torchvision": torchvision,
    "vgg_bn": vgg_bn,
}
