"""Quantises an ONNX network to 8 bits with onnxruntime's own tools: weights per channel, activations per tensor, as
QuantizeLinear and DequantizeLinear around each operator.

    python make_onnx_int8.py MODEL.onnx MODEL-w8a8.onnx

Needs onnxruntime and onnx. Ranges are those of seeded noise: for measuring speed, not accuracy.
"""

import sys

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SAMPLES = 4


class Noise(CalibrationDataReader):
    """Samples of the network's input."""

    def __init__(self, model):
        value = model.graph.input[0]
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        random = np.random.default_rng(0)
        self.samples = [{value.name: random.standard_normal(shape, dtype=np.float32)} for _ in range(SAMPLES)]

    def get_next(self):
        return self.samples.pop() if self.samples else None


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    quantize_static(
        sys.argv[1],
        sys.argv[2],
        Noise(onnx.load(sys.argv[1])),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
