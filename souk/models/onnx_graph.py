"""SavedModel signatures as ONNX graphs, which a server runs with a fraction of the overhead.

TensorFlow spends a microsecond or more on each of the thousand small operations of a request, in a thread of its own;
ONNX Runtime fuses most and runs the rest where it is called. The conversion is tf2onnx's; this adds a few operations
of our graphs that it has no translation for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto
from tf2onnx import convert, tf_loader, utils
from tf2onnx.handler import tf_op

from souk.graphs import HASHED, Graph
from souk.models.onnx_nodes import Nodes, become, told
from souk.models.onnx_passes import simplified

OPSET = 19  # the first whose Equal compares strings; tf2onnx knows 18, and no operation used here differs
TRANSLATED = 18
HASH = "Hash"
RELATIVE, ABSOLUTE = 1e-3, 1e-5  # sums are rounded in another order


class Untranslated(Exception):
    """A signature that ONNX cannot say."""


def write_onnx(
    saved_model: str | Path,
    signature: str,
    out: str | Path,
    function: Callable[..., Mapping[str, tf.Tensor]],
    samples: Sequence[Mapping[str, np.ndarray]],
) -> None:
    """Writes one signature of a SavedModel as an ONNX graph with the same names of inputs and outputs.

    Args:
        saved_model: the folder.
        signature: its name.
        out: the file; an input that the signature does not look at is none of its.
        function: what was saved under the name.
        samples: inputs for each of which both have to give the same.

    Raises:
        Untranslated: an operation has no translation, or a wrong one. Nothing is written.
    """
    try:
        written = _translated(str(saved_model), signature)
        graph = Graph(written)
        answers = [graph(sample) for sample in samples]
    except Exception as error:  # both libraries raise what they like
        raise Untranslated(f"{type(error).__name__}: {str(error)[:400]}") from error
    for sample, found in zip(samples, answers, strict=True):
        wanted = function(**{name: tf.constant(values) for name, values in sample.items()})
        for name, values in found.items():
            if not _same(values, np.asarray(wanted[name])):
                raise Untranslated(f"another {name} than the model's")
    Path(out).write_bytes(written)


def _same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether the values differ by rounding alone; small ones by a share of themselves, as probabilities have to."""
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)


def _translated(saved_model: str, signature: str) -> bytes:
    _register()
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    graph, inputs, outputs, tables, names = tf_loader.from_saved_model(
        saved_model,
        None,
        None,
        "serve",
        [signature],
        return_initialized_tables=True,
        return_tensors_to_rename=True,
    )
    kept = {node.name for node in graph.node}  # without the inputs that nothing looks at
    model, _ = convert._convert_common(
        graph,
        name=signature,
        opset=TRANSLATED,
        input_names=[name for name in inputs if name.partition(":")[0] in kept],
        output_names=outputs,
        tensors_to_rename=names,
        initialized_tables=tables,
        optimizers={},  # ONNX Runtime simplifies what it loads; tf2onnx would copy the graph dozens of times
    )
    (plain,) = (entry for entry in model.opset_import if not entry.domain)
    plain.version = OPSET
    _hashed_ahead(model)
    simplified(model)
    return bytes(model.SerializeToString(deterministic=True))


def _hashed_ahead(model: Any) -> None:
    """Makes an input of each hash, for who runs the graph to compute; of what is no input itself it is left."""
    own, given = Nodes(model.graph), {each.name: each for each in model.graph.input}
    for node in own.nodes:
        if node.op_type != HASH:
            continue
        name = node.input[0]
        while (same := own.back(name, "Identity")) is not None:
            name = same.input[0]
        if name not in given:
            continue
        ahead = f"{name}{HASHED}{told(node, 'num_buckets', 0)}"
        if ahead not in given:
            given[ahead] = model.graph.input.add()
            given[ahead].CopyFrom(given[name])
            given[ahead].name, given[ahead].type.tensor_type.elem_type = ahead, TensorProto.INT64
        become(node, "Identity", ahead)


@cache
def _register() -> None:
    """Tells tf2onnx the translations; it keeps them by class."""

    @tf_op("UpperBound")
    class UpperBound:
        """How many of the sorted are not above a value: all for one that is no number, as TensorFlow has it."""

        @classmethod
        def version_13(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[R, N]` and `[R, M]` → `[R, M]`."""
            (ordered, values), out = list(node.input), _Out(ctx, node)
            across, along = (_constant(ctx, np.array([axis], np.int64)) for axis in (1, 2))
            sides = ctx.make_node("Unsqueeze", [values, along]), ctx.make_node("Unsqueeze", [ordered, across])
            above = ctx.make_node("Less", [side.output[0] for side in sides])
            rest = ctx.make_node("Cast", [ctx.make_node("Not", above.output).output[0]], attr={"to": out.dtype})
            out.replace("ReduceSum", [rest.output[0], along], keepdims=0)

    @tf_op("StringToHashBucketFast")
    class Hash:
        """ONNX has none; see `_hashed_ahead`."""

        @classmethod
        def version_7(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[...]` → `[...]`."""
            texts, buckets, out = list(node.input), node.get_attr_int("num_buckets"), _Out(ctx, node)
            out.replace(HASH, texts, num_buckets=buckets)

    @tf_op("Log1p")
    class Log1p:
        """log(x + 1)."""

        @classmethod
        def version_7(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[...]` → `[...]`."""
            (value,), out = list(node.input), _Out(ctx, node)
            one = _constant(ctx, np.array(1, utils.map_onnx_to_numpy_type(out.dtype)))
            out.replace("Log", ctx.make_node("Add", [value, one]).output)

    @tf_op(["UnsortedSegmentSum", "UnsortedSegmentMax"])
    class Segments:
        """tf2onnx sorts and scatters; segments are few here, so that each looks at every row.

        A value that is no number makes the sum of every segment none.
        """

        @classmethod
        def version_18(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[M]` or, of a sum, `[M, P]` by `[M]`, which of the B segments each row is of → `[B]` or `[B, P]`."""
            (values, *counted), kind, out = list(node.input), node.type, _Out(ctx, node)
            first, step = (_constant(ctx, np.array(n, np.int64)) for n in (0, 1))
            along = _constant(ctx, np.array([1], np.int64))
            whole = {"to": TensorProto.INT64}
            segments, count = (ctx.make_node("Cast", [each], attr=whole).output[0] for each in counted)
            every = ctx.make_node("Unsqueeze", [ctx.make_node("Range", [first, count, step]).output[0], along])
            own = ctx.make_node("Equal", [every.output[0], segments]).output[0]
            if kind == "UnsortedSegmentSum":
                out.replace("MatMul", [ctx.make_node("Cast", [own], attr={"to": out.dtype}).output[0], values])
                return
            none = _constant(ctx, np.array(np.finfo(np.float32).min, np.float32))  # of a segment without rows
            out.replace("ReduceMax", [ctx.make_node("Where", [own, values, none]).output[0], along], keepdims=0)

    @tf_op(["Select", "SelectV2"])
    class Select:
        """tf2onnx multiplies by 0 and 1 where it chooses among whole numbers."""

        @classmethod
        def version_16(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[...]`, `[...]` and `[...]` → `[...]`, by the rules of broadcasting."""
            chosen, out = list(node.input), _Out(ctx, node)
            out.replace("Where", chosen)

    @tf_op(["Equal", "NotEqual"])
    class Equal:
        """tf2onnx makes numbers of what it compares, which strings are not."""

        @classmethod
        def version_13(cls, ctx: Any, node: Any, **_: Any) -> None:
            """`[...]` and `[...]` → `[...]`, by the rules of broadcasting."""
            sides, kind, out = list(node.input), node.type, _Out(ctx, node)
            if kind == "Equal":
                out.replace("Equal", sides)
            else:
                out.replace("Not", ctx.make_node("Equal", sides).output)


class _Out:
    """The one output of a node that another is to take the place of; the node is removed."""

    def __init__(self, ctx: Any, node: Any) -> None:
        self._ctx, self._name, self._output = ctx, node.name, node.output
        self.dtype, self._shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
        ctx.remove_node(node.name)

    def replace(self, kind: str, inputs: Any, **attributes: Any) -> None:
        """Makes the node that gives the output."""
        told = {"shapes": [self._shape], "dtypes": [self.dtype], "attr": attributes}
        self._ctx.make_node(kind, inputs, outputs=self._output, name=self._name, **told)


def _constant(ctx: Any, value: np.ndarray) -> str:
    return str(ctx.make_const(utils.make_name("souk"), value).output[0])
