"""The same networks in PyTorch, to measure training beside it where torch is installed."""

from collections.abc import Callable

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ferlib.data.fer2013 import Split
from ferlib.labels import FerlibError


class Translated(nn.Module):
    """A Keras network in PyTorch: the same operations in the same order, with the same weights.

    Args:
        network: From `models.build`.
    """

    def __init__(self, network: keras.Model):
        super().__init__()
        self._start, self._steps = id(network.inputs[0]), []
        for operation in network.operations[1:]:
            inputs = operation.input if isinstance(operation.input, list) else [operation.input]
            step = _translated(operation)
            if isinstance(step, nn.Module):
                self.add_module(operation.name, step)
            self._steps.append((step, [id(tensor) for tensor in inputs], id(operation.output)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores before the softmax, float (n, classes), of images float (n, 1, 48, 48), 0..255."""
        values = {self._start: images}
        for step, inputs, output in self._steps:
            values[output] = step(*(values[place] for place in inputs))
        return values[output]


def epoch(network: keras.Model, split: Split, batch_size: int, precision: str) -> Callable[[], torch.Tensor]:
    """Return an epoch as one would write it with PyTorch: eager, channels last, Adam.

    Args:
        network: From `models.build`; its weights are copied.
        split: Images with labels.
        batch_size: Images a step.
        precision: ``"mixed_bfloat16"`` computes in bfloat16 what PyTorch's autocast does, else float32.

    Returns:
        A function that trains one epoch and returns the last step's loss.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = Translated(network).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(module.parameters())
    images = torch.tensor(np.asarray(split.images), device=device).permute(0, 3, 1, 2).float()
    labels = torch.tensor(np.asarray(split.labels), device=device)

    def run() -> torch.Tensor:
        for chosen in torch.randperm(len(labels), device=device).split(batch_size):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "mixed_bfloat16"):
                loss = functional.cross_entropy(module(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.detach().cpu()  # which waits for the device

    return run


def _translated(operation) -> Callable:
    for kind, translate in TRANSLATIONS.items():
        if isinstance(operation, kind):
            return translate(operation)
    if type(operation).__name__ == "Resize":  # an operation of Keras without a public class
        return lambda x: functional.interpolate(x, operation.size, mode="bilinear")
    raise FerlibError(f"{operation.name} can't be measured in PyTorch: add its kind to TRANSLATIONS")


def _convolution(kernel, bias, layer, grouped: bool = False) -> nn.Module:
    window, (channels, filters) = tuple(kernel.shape[:2]), kernel.shape[2:]
    is_plain = layer.padding == "same" and tuple(layer.strides) == (1, 1)
    made = nn.Conv2d(
        *(channels, channels * filters if grouped else filters, window, layer.strides),
        padding="same" if is_plain else 0,
        groups=channels if grouped else 1,
        bias=bias is not None,
    )
    weight = np.asarray(kernel).transpose((2, 3, 0, 1) if grouped else (3, 2, 0, 1))
    _assign(made, weight.reshape(made.weight.shape), bias)
    return made if is_plain else _padded_alike(layer, window, made, 0.0)


def _separable(layer) -> nn.Module:
    pointwise = nn.Conv2d(*layer.pointwise_kernel.shape[2:], 1, bias=layer.use_bias)
    weight = np.asarray(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    _assign(pointwise, weight, layer.bias)
    return nn.Sequential(_convolution(layer.depthwise_kernel, None, layer, grouped=True), pointwise)


def _dense(layer) -> nn.Module:
    made = nn.Linear(*layer.kernel.shape)
    _assign(made, np.asarray(layer.kernel).T, layer.bias if layer.use_bias else np.zeros(layer.units))
    relu = layer.activation is keras.activations.relu
    return nn.Sequential(made, nn.ReLU()) if relu else made


def _normalization(layer) -> nn.Module:
    kind = nn.BatchNorm2d if len(layer.input.shape) == 4 else nn.BatchNorm1d
    made = kind(layer.input.shape[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
    _assign(made, layer.gamma, layer.beta)
    made.running_mean.copy_(torch.tensor(np.asarray(layer.moving_mean)))
    made.running_var.copy_(torch.tensor(np.asarray(layer.moving_variance)))
    return made


def _pooling(layer) -> nn.Module:
    return _padded_alike(layer, layer.pool_size, nn.MaxPool2d(layer.pool_size, layer.strides), -torch.inf)


def _padded_alike(layer, window, made: nn.Module, value: float) -> nn.Module:
    same = layer.padding == "same"
    return nn.Sequential(_SamePadding(window, layer.strides, value), made) if same else made


def _assign(module, weight, bias) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.asarray(weight)))
        if bias is not None:
            module.bias.copy_(torch.tensor(np.asarray(bias)))


class _SamePadding(nn.Module):
    """Padding as TensorFlow has it: one more at the end where it can't be even."""

    def __init__(self, window, strides, value: float):
        super().__init__()
        self._window, self._strides, self._value = window, strides, value

    def forward(self, x):
        pads = []
        for size, window, stride in zip(x.shape[2:], self._window, self._strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + window - size, 0)
            pads = [total // 2, total - total // 2, *pads]
        return functional.pad(x, pads, value=self._value)


def _padded(layer):
    (top, bottom), (left, right) = layer.padding
    return lambda x: functional.pad(x, (left, right, top, bottom))


def _centred(layer):
    mean, deviation = (np.asarray(part).reshape(1, -1, 1, 1) for part in (layer.mean, layer.variance**0.5))
    mean, deviation = torch.tensor(mean), torch.tensor(deviation)
    return lambda x: (x - mean.to(x.device)) / deviation.to(x.device)


TRANSLATIONS = {
    keras.layers.Rescaling: lambda layer: lambda x: x * layer.scale + layer.offset,
    keras.layers.Normalization: _centred,
    keras.layers.ZeroPadding2D: _padded,
    keras.layers.SeparableConv2D: _separable,
    keras.layers.DepthwiseConv2D: lambda layer: _convolution(layer.kernel, layer.bias, layer, grouped=True),
    keras.layers.Conv2D: lambda layer: _convolution(layer.kernel, layer.bias, layer),
    keras.layers.Dense: _dense,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.ReLU: lambda layer: nn.ReLU() if layer.max_value is None else nn.ReLU6(),
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.Dropout: lambda layer: nn.Dropout(layer.rate),
    keras.layers.GlobalAveragePooling2D: lambda layer: lambda x: x.mean((2, 3)),
    keras.layers.Flatten: lambda layer: lambda x: x.permute(0, 2, 3, 1).flatten(1),
    keras.layers.Add: lambda layer: lambda *parts: sum(parts),
    keras.layers.Concatenate: lambda layer: lambda *parts: torch.cat(parts, 1),
    keras.layers.Activation: lambda layer: nn.ReLU() if "relu" in layer.activation.__name__ else lambda x: x,
}
"""What stands for each of Keras' layers, special ones first; the softmax at the end is the loss's."""
