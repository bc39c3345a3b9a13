"""Many kinds of recurrences in every view: no two boxes overlap, no arrow passes over a box, all is inside."""

from __future__ import annotations

import pytest
from viz.pictures import SVG, check
from viz.zoo import ZOO, attention, encoder_and_decoder, ops_between_the_steps

import tinygrad_rnn as tg
from tinygrad_rnn import draw_graph


def traced(net):
    with tg.trace():
        result = net()
        losses = result.values() if isinstance(result, dict) else [result]
        for loss in losses:
            loss.backward(retain_graph=True)
    return result


@pytest.mark.parametrize("name", ZOO)
def test_every_view_is_well_formed(name, engine):
    result = traced(ZOO[name])
    for view in ("folded", "layers", "unrolled") if engine == "builtin" else ("folded", "layers"):
        for direction, colour in (("LR", "grad"), ("TB", None)):
            drawing = draw_graph(result, view=view, direction=direction, color_by=colour)
            assert drawing.view == view and check(drawing) is not None, (view, direction)
    if engine == "builtin":
        check(draw_graph(result, view="unrolled", depth=1, steps=slice(None), params="node"))


def frames(drawing):
    """The titles of the frames of steps, from bottom to top."""
    found = []
    for g in check(drawing).iter(f"{SVG}g"):
        if (g.get("class") or "").startswith("group step"):
            found.append((-float(g.find(f"{SVG}rect").get("y")), g.find(f"{SVG}text").text))
    return [text for _, text in sorted(found)]


def test_a_loop_after_a_loop_has_a_row_of_its_own():
    for net in (lambda: traced(attention), lambda: traced(lambda: attention(2))):
        titles = frames(draw_graph(net(), view="unrolled", steps=slice(None)))
        half = len(titles) // 2
        assert sorted(titles[:half]) == sorted(titles[half:]) == [f"t = {t}" for t in range(half)]
    assert len(frames(draw_graph(ops_between_the_steps(), view="unrolled"))) == 4


def test_states_go_from_the_last_step_to_the_first():
    root = check(draw_graph(encoder_and_decoder(), view="unrolled"))
    back = [
        (g.get("data-from"), g.get("data-to")) for g in root.iter(f"{SVG}g") if g.get("class") == "edge carry"
    ]
    assert sum(a.endswith("@t=2") and b.endswith("@t=0") for a, b in back if a) == 2
