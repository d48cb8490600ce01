"""Keras' own layers with the same arguments, weights and results, computed faster by TensorFlow.

Networks are written in Keras' layers; `make_fast` turns those that it knows into these.
"""

import itertools

import keras
from keras import ops
from keras.activations import linear

from ferlib.train import machine

SMALL_MAP, MANY_CHANNELS = 12 * 12, 96
"""Gradients of kernels are matrix products on maps of so many pixels at most and from so many channels on."""

FEW_CHANNELS = 15
"""Maps with so many channels at most are normalized in float32: for bfloat16 the kernel takes 16 at once."""


@keras.saving.register_keras_serializable("ferlib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer with the same arguments, weights and results, computed faster.

    Keras writes the normalization as a chain of elementwise operations; on a CPU each of them reads and
    writes the whole map. TensorFlow's fused kernel does it in one pass, forward and backward. It serves for
    maps (n, h, w, c) under TensorFlow; everything else goes Keras' own way.

    Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015; TensorFlow's ``FusedBatchNormV3``.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalize float (n, ..., c), by the batch if `training`, unless the layer is frozen."""
        if mask is not None or not self._fuses(inputs):
            return super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            mean, variance = map(ops.convert_to_tensor, (self.moving_mean, self.moving_variance))
            return self._fused(inputs, mean, variance, is_training=False)[0]
        outputs, mean, unbiased = self._fused(inputs, [], [], is_training=True)
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], unbiased.dtype)
        variance = unbiased * (count - 1) / count  # the kernel tells n / (n - 1) of what Keras keeps
        for moving, seen in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + seen * (1 - self.momentum))
        return outputs

    def _fuses(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not (getattr(self, "renorm", False) or self.synchronized)  # older Keras has no renorm
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
        )

    def _fused(self, inputs, mean, variance, is_training: bool):
        import tensorflow

        few = _half_on_processor(inputs) and inputs.shape[-1] <= FEW_CHANNELS
        outputs, *statistics = tensorflow.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, "float32") if few else inputs,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=is_training,
        )[:3]
        return ops.cast(outputs, inputs.dtype), *statistics


@keras.saving.register_keras_serializable("ferlib")
class Conv2D(keras.layers.Conv2D):
    """Keras' layer; gradients of its kernel are one matrix product for each of the kernel's pixels.

    A processor that multiplies matrices of bfloat16 does that up to five times as fast as oneDNN's own kernel
    (3.7), where maps are small and channels many. Elsewhere convolutions go Keras' own way.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve float (n, h, w, c) with float (a, b, c, f), where a and b are odd."""
        multiplies = self._multiplies(inputs)
        return _convolved(inputs, kernel) if multiplies else super().convolution_op(inputs, kernel)

    def _multiplies(self, inputs) -> bool:
        _, height, width, channels = inputs.shape
        usual = {"strides": (1, 1), "dilation_rate": (1, 1), "padding": "same", "groups": 1}
        usual["data_format"] = "channels_last"
        return (
            _half_on_processor(inputs)
            and all(getattr(self, name) == value for name, value in usual.items())
            and all(size % 2 for size in self.kernel_size)
            and None not in (height, width)
            and height * width <= SMALL_MAP
            and channels >= MANY_CHANNELS
        )


def _convolved(inputs, kernel):
    """Convolve with same padding, and give the gradient of the kernel as matrix products."""
    import tensorflow as tf

    options = {"strides": [1] * 4, "padding": "SAME"}

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradients(upstream):
            about = {"input_sizes": tf.shape(inputs), "filter": kernel, "out_backprop": upstream}
            by_inputs = tf.raw_ops.Conv2DBackpropInput(**about, **options)
            return by_inputs, _kernel_gradient(inputs, upstream, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, **options), gradients

    return convolve(tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel))


def _kernel_gradient(inputs, upstream, sizes):
    """Return the gradient of a kernel of odd `sizes` (a, b, c, f) for maps (n, h, w, c) padded alike."""
    import tensorflow as tf

    rows, columns, channels, filters = sizes
    height, width = inputs.shape[1:3]
    padded = tf.pad(inputs, [[0, 0], [rows // 2] * 2, [columns // 2] * 2, [0, 0]])
    upstream = tf.reshape(upstream, (-1, filters))
    products = []
    for row, column in itertools.product(range(rows), range(columns)):
        moved = tf.reshape(padded[:, row : row + height, column : column + width], (-1, channels))
        products.append(tf.matmul(moved, upstream, transpose_a=True))
    return tf.reshape(tf.stack(products), sizes)


@keras.saving.register_keras_serializable("ferlib")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' layer; with strides, gradients of its inputs are computed in float32.

    For bfloat16 TensorFlow's kernel takes ten times as long as for float32, if the stride is not one.
    """

    def call(self, inputs):
        """Convolve each channel of float (n, h, w, c) with kernels of its own."""
        plain = self.dilation_rate == (1, 1) and not self.use_bias and self.activation is linear
        if not (plain and max(self.strides) > 1 and _half_on_processor(inputs)):
            return super().call(inputs)
        return _convolved_depthwise(inputs, self.kernel, (1, *self.strides, 1), self.padding.upper())


def _convolved_depthwise(inputs, kernel, strides, padding):
    import tensorflow as tf

    about = {"strides": strides, "padding": padding}

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradients(upstream):
            full = {"filter": tf.cast(kernel, tf.float32), "out_backprop": tf.cast(upstream, tf.float32)}
            by_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(inputs), **full, **about
            )
            by_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=inputs, filter_sizes=kernel.shape, out_backprop=upstream, **about
            )
            return tf.cast(by_inputs, inputs.dtype), by_kernel

        return tf.nn.depthwise_conv2d(inputs, kernel, **about), gradients

    return convolve(tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable("ferlib")
class Dropout(keras.layers.Dropout):
    """Keras' layer, which decides by a random byte for each value and not by four.

    Drawing random numbers took a sixth of a training step. The rate is rounded to a multiple of 1/256.
    """

    def call(self, inputs, training=False):
        """Set values of float (n, ..., c) to zero at random and scale up the others, if `training`."""
        dropped = round(256 * self.rate)
        bytes_fit = keras.backend.backend() == "tensorflow" and inputs.shape[-1] % 4 == 0
        if not (training and dropped and bytes_fit and self.noise_shape is None):
            return super().call(inputs, training=training)
        import tensorflow as tf

        shape = tf.shape(inputs)
        fours = tf.concat([shape[:-1], shape[-1:] // 4], 0)
        seed = tf.cast(self.seed_generator.next(), "int32")
        draws = tf.random.stateless_uniform(fours, seed, minval=None, maxval=None, dtype=tf.uint32)
        kept = tf.reshape(tf.bitcast(draws, tf.uint8), shape) >= dropped
        return inputs * (tf.cast(kept, inputs.dtype) * (256 / (256 - dropped)))


FAST = {
    keras.layers.BatchNormalization: BatchNormalization,
    keras.layers.Conv2D: Conv2D,
    keras.layers.DepthwiseConv2D: DepthwiseConv2D,
    keras.layers.Dropout: Dropout,
}


def make_fast(network: keras.Model, kinds: dict[type, type] = FAST) -> keras.Model:
    """Turn layers of Keras' own into this module's, in place: their weights and places in a network stay."""
    for layer in network.layers:
        layer.__class__ = kinds.get(type(layer), type(layer))
    return network


def make_plain(network: keras.Model) -> keras.Model:
    """Turn layers of this module back into Keras' own, see `make_fast`."""
    return make_fast(network, {own: plain for plain, own in FAST.items()})


def _half_on_processor(inputs) -> bool:
    """Say whether TensorFlow computes with bfloat16 on the processor, where some of its kernels are slow."""
    return (
        keras.backend.backend() == "tensorflow"
        and keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
        and not machine.gpus()
    )
