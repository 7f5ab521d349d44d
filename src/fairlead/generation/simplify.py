"""Makes a recorded step cheap: fewer operations, called directly, products of one input joined.

Works on the operations of torch, so it knows no model; what it does not recognise stays as it is.
"""

import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Graph, GraphModule

from fairlead.generation.products import can_block

aten: Any = torch.ops.aten

Node = Any
"""A `torch.fx.Node`, whose arguments no type checker can follow."""


@dataclass(frozen=True)
class Joint:
    """Products of one input with several weights."""

    weights: tuple[Tensor, ...]
    """[out, in] each, or [in, out] where `transposed`."""
    biases: tuple[Tensor, ...] | None
    transposed: bool = False


class Constants:
    """What a step holds, as inputs of its graph: reading them is free, unlike attributes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.held: dict[Node, Any] = {}

    def hold(self, value: Any) -> Node:
        """The input that stands for a value."""
        last = [node for node in self.graph.nodes if node.op == "placeholder"][-1]
        with self.graph.inserting_after(last):
            node = self.graph.placeholder(f"constant_{len(self.held)}")
        self.held[node] = value
        return node


def simplified(
    traced: GraphModule, attend: Any
) -> tuple[Callable[..., Tensor], Sequence[Tensor | Joint]]:
    """Code of (tokens, positions, attend, *constants), and the constants.

    Args:
        traced: of (tokens, positions).
        attend: the operation that stands for attention.
    """
    graph = traced.graph
    _lift_attention(graph, attend)
    constants = Constants(graph)
    _lift_constants(traced, constants)
    _drop_idle(graph)
    _join_norms(graph, constants)
    _join_rotations(graph, constants)
    _share_equal(graph)
    _join_products(graph, constants)
    _call_directly(graph)
    graph.eliminate_dead_code()
    graph.lint()
    held = list(constants.held.values())
    for node in graph.nodes:
        node.meta.clear()  # It holds the weights.
    return GraphModule(torch.nn.Module(), graph).forward, held


def _calls(graph: Graph, *targets: Any) -> Iterator[Node]:
    """The nodes that call one of these, in order; the graph may change meanwhile."""
    return (node for node in list(graph.nodes) if node.target in targets)


def _replace(node: Node, by: Node) -> None:
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def _lift_attention(graph: Graph, attend: Any) -> None:
    """Attention becomes a call of the third input."""
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    with graph.inserting_after(last):
        given = graph.placeholder("attend")
    for node in _calls(graph, attend):
        node.target, node.args = operator.call, (given, *node.args)


def _lift_constants(traced: GraphModule, constants: Constants) -> None:
    lifted: dict[int, Node] = {}
    for node in list(traced.graph.nodes):
        if node.op == "get_attr":
            value = operator.attrgetter(node.target)(traced)
            if id(value) not in lifted:
                lifted[id(value)] = constants.hold(value)
                lifted[id(value)].meta = {"val": value}
            _replace(node, lifted[id(value)])


def _drop_idle(graph: Graph) -> None:
    """Takes out what changes nothing: casts to the same type, whole slices, factors of one."""
    for node in _calls(graph, torch._C._set_grad_enabled):
        graph.erase_node(node)
    for node in list(graph.nodes):
        if _is_idle(node):
            _replace(node, node.args[0])


def _is_idle(node: Node) -> bool:
    if node.target in (aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten.detach.default):
        before, after = (_value(n) for n in (node.args[0], node))
        return before is not None and (before.dtype, before.device) == (after.dtype, after.device)
    if node.target is aten.slice.Tensor:
        return tuple(node.args[2:]) == (0, sys.maxsize)
    return node.target is aten.mul.Tensor and node.args[1] == 1.0


def _value(node: Any) -> Any:
    return node.meta.get("val") if isinstance(node, torch.fx.Node) else None


def _join_norms(graph: Graph, constants: Constants) -> None:
    """X times the reciprocal root of its mean square: one sum instead of a square and a mean."""
    for root in _calls(graph, aten.rsqrt.default):
        found = _mean_square(root)
        if found is None or any(not _is_product(user, found[0], root) for user in root.users):
            continue
        x, eps = found
        held = constants.hold(torch.tensor(eps, dtype=_value(x).dtype))
        with graph.inserting_before(root):
            unit = graph.call_function(_of_unit_mean_square, (x, held, _value(x).shape[-1]))
        for user in list(root.users):
            _replace(user, unit)


def _mean_square(root: Node) -> tuple[Node, float] | None:
    """X and eps where a node is the reciprocal root of mean(x²) + eps over the last dimension."""
    added = root.args[0]
    if not _is(added, aten.add.Tensor) or not isinstance(added.args[1], float):
        return None
    mean = added.args[0]
    if not _is(mean, aten.mean.dim) or tuple(mean.args[1:]) != ([-1], True):
        return None
    square = mean.args[0]
    if not _is(square, aten.pow.Tensor_Scalar) or square.args[1] != 2:
        return None
    return square.args[0], added.args[1]


def _of_unit_mean_square(x: Tensor, eps: Tensor, width: int) -> Tensor:
    norm = torch.linalg.vector_norm(x, 2, -1, True)
    return torch.mul(x, torch.addcmul(eps, norm, norm, value=1 / width).rsqrt_())


def _join_rotations(graph: Graph, constants: Constants) -> None:
    """X cos + (second half negated, first half) sin: a roll, and the signs move to the sine."""
    signs: dict[int, Node] = {}
    for added in _calls(graph, aten.add.Tensor):
        found = _rotation(added)
        if found is None:
            continue
        x, cos, sin, half = found
        if half not in signs:
            ones = torch.ones(half, dtype=_value(x).dtype)
            signs[half] = constants.hold(torch.cat([-ones, ones]))
        with graph.inserting_after(sin):
            signed = graph.call_function(aten.mul.Tensor, (sin, signs[half]))
        with graph.inserting_before(added):
            rolled = graph.call_function(torch.roll, (x, half, -1))
            plain = graph.call_function(aten.mul.Tensor, (x, cos))
            turned = graph.call_function(torch.addcmul, (plain, rolled, signed))
        _replace(added, turned)


def _rotation(added: Node) -> tuple[Node, Node, Node, int] | None:
    """x, cosine, sine and half the width where a node is a rotary embedding in halves."""
    if len(added.args) != 2 or not all(_is(arg, aten.mul.Tensor) for arg in added.args):
        return None
    (x, cos), (turned, sin) = (term.args for term in added.args)
    if not _is(turned, aten.cat.default) or len(turned.args[0]) != 2:
        return None
    second, first = turned.args[0]
    if not _is(second, aten.neg.default) or not _is(second.args[0], aten.slice.Tensor):
        return None
    second = second.args[0]
    half = second.args[2]
    dimensions = _value(x).dim()
    halves = ((x, dimensions - 1, half, sys.maxsize), (x, dimensions - 1, 0, half))
    whole = (tuple(second.args), tuple(first.args)) == halves and _value(x).shape[-1] == 2 * half
    return (x, cos, sin, half) if _is(first, aten.slice.Tensor) and whole else None


def _is(node: Any, target: Any) -> bool:
    return isinstance(node, torch.fx.Node) and node.target is target


def _is_product(node: Node, x: Node, factor: Node) -> bool:
    return _is(node, aten.mul.Tensor) and set(node.args) == {x, factor}


def _share_equal(graph: Graph) -> None:
    """Computes what occurs several times once."""
    seen: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not _is_pure(node.target):
            continue
        key = (node.target, _frozen(node.args), _frozen(tuple(node.kwargs.items())))
        if key in seen:
            _replace(node, seen[key])
        else:
            seen[key] = node


def _is_pure(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload):
        return target in (torch.roll, torch.addcmul, _of_unit_mean_square)
    random = torch.Tag.nondeterministic_seeded in target.tags
    return not target._schema.is_mutable and not random


def _frozen(value: Any) -> Any:
    """Something to compare by that has the value's parts."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _join_products(graph: Graph, constants: Constants) -> None:
    """Linear layers of one input become one product where faster kernels exist for it."""
    together: dict[Any, list[Node]] = {}
    for node in _calls(graph, aten.linear.default, aten.addmm.default):
        if _layer(node, constants) is not None:
            transposed = node.target is aten.addmm.default
            biased = transposed or len(node.args) == 3
            together.setdefault((_input(node), biased, transposed), []).append(node)
    for (_, biased, transposed), nodes in together.items():
        layers = [layer for node in nodes if (layer := _layer(node, constants))]
        weights, biases = zip(*layers, strict=True)
        joint = constants.hold(Joint(weights, biases if biased else None, transposed))
        with graph.inserting_before(nodes[0]):
            outputs = graph.call_function(operator.call, (joint, _input(nodes[0])))
            parts = [graph.call_function(operator.getitem, (outputs, k)) for k in range(len(nodes))]
        for node, part in zip(nodes, parts, strict=True):
            _replace(node, part)


def _input(layer: Node) -> Any:
    return layer.args[0] if layer.target is aten.linear.default else layer.args[1]


def _layer(node: Node, constants: Constants) -> tuple[Tensor, Tensor | None] | None:
    """Weight, as the layer holds it, and bias of a linear layer whose weight can be blocked."""
    if node.target is aten.linear.default:
        weight, bias = (constants.held.get(arg) for arg in (*node.args[1:], None)[:2])
        given = len(node.args) == 3
    else:
        bias, weight = (constants.held.get(node.args[place]) for place in (0, 2))
        given = True
    if weight is None or (given and bias is None) or not can_block(weight):
        return None
    return weight, bias


_FUNCTIONS = {
    aten.add.Tensor: torch.add,
    aten.sub.Tensor: torch.sub,
    aten.mul.Tensor: torch.mul,
    aten.div.Tensor: torch.div,
    aten.neg.default: torch.neg,
    aten.cos.default: torch.cos,
    aten.sin.default: torch.sin,
    aten.tanh.default: torch.tanh,
    aten.rsqrt.default: torch.rsqrt,
    aten.pow.Tensor_Scalar: torch.pow,
    aten.cat.default: torch.cat,
    aten.silu.default: F.silu,
    aten.linear.default: F.linear,
    aten.embedding.default: torch.embedding,
}

_METHODS = {
    aten.view.default: "view",
    aten.reshape.default: "reshape",
    aten.transpose.int: "transpose",
    aten.unsqueeze.default: "unsqueeze",
    aten.sym_size.int: "size",
}


def _call_directly(graph: Graph) -> None:
    """Through torch's own functions, whose arguments are read faster than an operation's."""
    for node in graph.nodes:
        if node.target in _FUNCTIONS:
            node.target = _FUNCTIONS[node.target]
        elif node.target in _METHODS:
            node.op, node.target = "call_method", _METHODS[node.target]
