"""Draws how many times as long as Slotwise each library takes: a panel a set, a bar for each operation and library."""

import json
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

given = json.load(sys.stdin)
bars = given["bars"]
sets = sorted({bar["set"] for bar in bars})
libraries = list(dict.fromkeys(bar["library"] for bar in bars))
figure, panels = pyplot.subplots(1, len(sets), figsize=(5.2 * len(sets), 7), squeeze=False)
for panel, name in zip(panels[0], sets):
    here = [bar for bar in bars if bar["set"] == name]
    ops = list(dict.fromkeys(bar["op"] for bar in here))
    height = 0.8 / len(libraries)
    for i, library in enumerate(libraries):
        mine = [bar for bar in here if bar["library"] == library]
        places = [ops.index(bar["op"]) + (i - (len(libraries) - 1) / 2) * height for bar in mine]
        panel.barh(places, [bar["ratio"] for bar in mine], height, label=library, color=f"C{i}")
    panel.set_yticks(range(len(ops)), ops)
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.axvline(1, color="black", linewidth=1)
    panel.set_xlabel("times as long as Slotwise")
    panel.set_title(name)
handles, labels = [], []
for panel in panels[0]:
    for handle, label in zip(*panel.get_legend_handles_labels()):
        if label not in labels:
            handles.append(handle)
            labels.append(label)
figure.legend(handles, labels, loc="lower center", ncols=len(libraries), frameon=False)
figure.suptitle(given["title"])
figure.tight_layout(rect=(0, 0.06, 1, 1))
figure.savefig(sys.argv[1], metadata={"Date": None})
