"""Batch normalization in one pass, where TensorFlow has a kernel for it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("ferlib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer with the same arguments, weights and results, computed faster.

    Keras writes the normalization as a chain of elementwise operations; on a CPU each of them reads and
    writes the whole map. TensorFlow's fused kernel does it in one pass, forward and backward. It serves for
    maps (n, h, w, c) under TensorFlow; everything else goes Keras' own way.

    Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015; TensorFlow's ``FusedBatchNormV3``.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalize.

        Args:
            inputs: float (n, ..., c).
            training: Normalize by the batch and update the moving statistics, unless the layer is frozen.
            mask: Of the positions that count, or None.

        Returns:
            Tensor like `inputs`.
        """
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
            and not (self.renorm or self.synchronized)
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
        )

    def _fused(self, inputs, mean, variance, is_training: bool):
        import tensorflow

        return tensorflow.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=is_training,
        )[:3]


def make_fast(layer: keras.layers.BatchNormalization) -> None:
    """Turn a layer of Keras' own into this module's, in place: its weights and its place in a network stay.

    Args:
        layer: Of a network that is built already, such as one of ``keras.applications``.
    """
    layer.__class__ = BatchNormalization
