"""Plots of the figures, as SVG text. The same figures give the same text."""

import io

import matplotlib
from matplotlib.figure import Figure

SIZE = (8, 3.6)  # inches
COLOURS = {"ours": "#1f77b4", "keepalive": "#2ca02c", "template": "#ff7f0e", "traefik": "#7f7f7f",
           "traefik-watch": "#9467bd", "backend": "#17becf", "shell": "#8c564b",
           "haproxy-ours": "#d62728", "haproxy-hand": "#bcbd22", "haproxy-template": "#e377c2"}  # fmt: skip


def shares(panels: dict[str, dict[str, list[float]]], titles: dict[str, str], label: str) -> str:
    """How many of the events are over after a time: one panel beside the other, one line for each balancer.

    :param panels: title of the panel to balancer to times in seconds
    :param titles: balancer to what people call it
    :param label: of the time axis
    """
    figure, axes = _figure(len(panels))
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        for balancer, values in lines.items():
            ordered = sorted(max(value, 0.001) for value in values)
            share = [100 * (rank + 1) / len(ordered) for rank in range(len(ordered))]
            axis.step([ordered[0], *ordered], [0, *share], where="post", color=COLOURS.get(balancer), label=titles[balancer])
        axis.set(title=panel, xscale="log", xlabel=label, ylim=(0, 101))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("% of the events")
    return _svg(figure, axes)


def bars(panels: dict[str, dict[str, float]], titles: dict[str, str], form: str = "{:,.0f}") -> str:
    """One bar for each balancer; one panel beside the other.

    :param panels: title of the panel, with the unit, to balancer to value
    :param form: how a value is written beside its bar
    """
    figure, axes = _figure(len(panels))
    for axis, (panel, values) in zip(axes, panels.items(), strict=True):
        drawn = axis.barh([titles[b] for b in values], list(values.values()), color=[COLOURS.get(b) for b in values])
        axis.bar_label(drawn, [form.format(value) for value in values.values()], padding=3, fontsize=8)
        axis.set(title=panel, xlim=(0, 1.25 * max([*values.values(), 1e-9])))
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    return _svg(figure)


def sizes(panels: dict[str, dict[str, dict[int, float]]], titles: dict[str, str], label: str) -> str:
    """A value over a size, both on logarithmic axes; one panel beside the other, one line for each balancer.

    :param panels: title of the panel, with the unit, to balancer to size to value
    :param label: of the axis of sizes
    """
    figure, axes = _figure(len(panels))
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        for balancer, values in lines.items():
            axis.plot(list(values), list(values.values()), marker="o", color=COLOURS.get(balancer), label=titles[balancer])
        known = sorted({size for values in lines.values() for size in values})
        axis.set(title=panel, xscale="log", yscale="log", xlabel=label)
        axis.set_xticks(known, [str(size) for size in known])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    return _svg(figure, axes)


def _figure(count):
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _svg(figure, legend_of=()) -> str:
    if legend_of:
        figure.legend(*legend_of[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
