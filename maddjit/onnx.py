"""`maddjit.onnx` is short for `maddjit.integrations.onnx`."""

from maddjit.integrations.onnx import *
