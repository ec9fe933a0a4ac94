"""Finding in an ONNX file what must not be loaded."""

import pytest
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper
from tests.runtime.builders import external, network

from convsmith_runtime.errors import BundleError
from convsmith_runtime.onnx_file import require_harmless


def node_with(**fields):
    """A node with one attribute of that kind."""
    node = helper.make_node("Constant", [], ["c"])
    attribute = node.attribute.add(name="value")
    for name, value in fields.items():
        target = getattr(attribute, name)
        if hasattr(target, "append"):
            target.append(value)
        else:
            target.CopyFrom(value)
    return node


def graph_with_external():
    return helper.make_graph([], "inner", [], [], [external()])


HIDING_PLACES = {
    "weights": lambda model: model.graph.initializer.append(external()),
    "sparse weights": lambda model: model.graph.sparse_initializer.append(
        SparseTensorProto(values=external())
    ),
    "sparse indices": lambda model: model.graph.sparse_initializer.append(
        SparseTensorProto(indices=external())
    ),
    "a constant": lambda model: model.graph.node.append(node_with(t=external())),
    "constants": lambda model: model.graph.node.append(node_with(tensors=external())),
    "a sparse constant": lambda model: model.graph.node.append(
        node_with(sparse_tensor=SparseTensorProto(values=external()))
    ),
    "sparse constants": lambda model: model.graph.node.append(
        node_with(sparse_tensors=SparseTensorProto(values=external()))
    ),
    "a branch": lambda model: model.graph.node.append(node_with(g=graph_with_external())),
    "branches": lambda model: model.graph.node.append(node_with(graphs=graph_with_external())),
    "a function": lambda model: model.functions.add(name="f").node.append(node_with(t=external())),
    "a function's default": lambda model: model.functions.add(name="f").attribute_proto.append(
        AttributeProto(name="a", t=external())
    ),
    "training": lambda model: model.training_info.add().initialization.CopyFrom(
        graph_with_external()
    ),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_weights_in_other_files_are_found_wherever_they_are(place):
    model = network()
    require_harmless(model.SerializeToString())
    HIDING_PLACES[place](model)
    with pytest.raises(BundleError, match="other files"):
        require_harmless(model.SerializeToString())


def test_half_a_reference_is_enough():
    for change in ("location", "data"):
        tensor = external()
        tensor.ClearField("data_location" if change == "data" else "external_data")
        model = network(change=lambda graph, tensor=tensor: graph.initializer.append(tensor))
        with pytest.raises(BundleError, match="other files"):
            require_harmless(model.SerializeToString())


@pytest.mark.parametrize("kind", ["Loop", "Scan", "If", "EPContext"])
def test_nodes_that_may_not_end_or_hold_programs_are_refused(kind):
    model = network(change=lambda graph: graph.node.append(helper.make_node(kind, [], [])))
    with pytest.raises(BundleError, match=kind):
        require_harmless(model.SerializeToString())


def test_operations_of_others_are_refused():
    evil = helper.make_node("Read", [], [], domain="evil.ops")
    model = network(change=lambda graph: graph.node.append(evil))
    with pytest.raises(BundleError, match="not ONNX's"):
        require_harmless(model.SerializeToString())


def varint(value):
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


def wrapped(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def test_a_field_whose_number_is_too_large_by_a_bit_that_readers_drop_is_refused():
    entry = external().external_data[0].SerializeToString()
    tensor = varint((13 << 3 | 2) + 2**32) + varint(len(entry)) + entry
    hidden = network().SerializeToString() + wrapped(7, wrapped(5, tensor))
    with pytest.raises(BundleError):
        require_harmless(hidden)


def test_messages_that_are_merged_are_both_looked_at():
    """A second `graph` is merged into the first by every reader of protobuf."""
    graph = helper.make_graph([], "more", [], [], [external()]).SerializeToString()
    with pytest.raises(BundleError, match="other files"):
        require_harmless(network().SerializeToString() + wrapped(7, graph))


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\xff" * 40,
        b"\x0b",
        wrapped(7, b"\x0a\x7f"),
        b"\0\0\0\0ORTM" + b"\0" * 100,
        varint(7 << 3 | 2) + varint(2**40),
    ],
)
def test_what_is_no_onnx_is_refused(data):
    with pytest.raises(BundleError):
        require_harmless(data)


def test_depth_and_number_of_parts_have_limits():
    data = b""
    for _ in range(200):
        data = (
            wrapped(7, wrapped(1, wrapped(5, wrapped(6, data))))
            if not data
            else wrapped(1, wrapped(5, wrapped(6, data)))
        )
    with pytest.raises(BundleError, match="deeply"):
        require_harmless(wrapped(7, data))


def test_raw_values_that_look_like_fields_are_not_taken_for_them():
    raw = external().SerializeToString() * 4
    tensor = TensorProto(name="w", dims=[len(raw)], data_type=TensorProto.UINT8, raw_data=raw)
    require_harmless(
        network(change=lambda graph: graph.initializer.append(tensor)).SerializeToString()
    )
