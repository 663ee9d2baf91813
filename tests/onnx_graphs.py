"""Small graphs of ONNX by hand, and whether they give the same with fewer nodes."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from souk.models.onnx_passes import simplified

FLOAT, WHOLE = TensorProto.FLOAT, TensorProto.INT64
INPUTS = (("x", FLOAT, [2, 3]), ("i", WHOLE, [2]))
VALUES = {"x": np.array([[1, -2, 3], [0, 5, 4]], np.float32), "i": np.array([2, -1])}


def graph(nodes, wanted, kind=FLOAT, inputs=INPUTS, more=(), **constants):
    """A graph of nodes `(operation, inputs, output, attributes)` that gives `wanted` of a kind, and `more`."""
    made = [helper.make_node(name, given.split(), [out], name=out, **told) for name, given, out, told in nodes]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    outputs = [helper.make_tensor_value_info(name, of, None) for name, of in ((wanted, kind), *more)]
    whole = helper.make_graph(made, "test", [helper.make_tensor_value_info(*each) for each in inputs], outputs, given)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def kinds_of(model):
    """The operations of a graph."""
    return {node.op_type for node in model.graph.node}


def same(model, values=None):
    """The model with fewer nodes, which gives the same, in the same shapes."""
    values = VALUES if values is None else values
    before = run(model, values)
    simplified(model)
    for found, wanted in zip(run(model, values), before, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    return model


def run(model, values):
    """What a model gives."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, values)
