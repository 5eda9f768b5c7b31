# SPDX-License-Identifier: MIT
"""The demo's chart: how many times better than TCP, drawn with gnuplot."""
import os
import subprocess

BAR = 0.24  # width of a bar; a program's bars stand side by side around its number
SERIES = (("throughput", "throughput", "#1f5fa8"), ("latency", "latency (shorter)", "#e08a1e"),
          ("cpu", "processor time (less)", "#3f8f5b"))

SCRIPT = """
set terminal {terminal}
set output "{output}"
set encoding utf8
set title "{{/:Bold Unmodified programs under smcu, compared with TCP over loopback}}\\n\
{{/*0.8 Times better than TCP (logarithmic); longer bars are better. {where}}}" \
font ",17" textcolor rgb "#222222" offset 0,1.4
set logscale y 2
set yrange [{low}:{high}]
set xrange [0.45:{right}]
set ytics nomirror scale 0 ({ytics}) textcolor rgb "#555555" font ",12"
set xtics nomirror scale 0 ({xtics}) font ",13" textcolor rgb "#222222" offset 0,-0.3
set grid ytics linetype 1 linecolor rgb "#e4e4e4" linewidth 1
set border 1 linecolor rgb "#999999"
set key at graph 0.5,1.055 center center horizontal maxrows 1 Left reverse samplen 1 width 1 font ",13"
set style fill solid 1.0 noborder
set lmargin 9
set rmargin 3
set tmargin 6.5
set bmargin 3.5
set arrow 1 from 0.45,1 to {right},1 nohead linewidth 2 linecolor rgb "#444444" front
{labels}
plot {plots}
"""

TERMINALS = {
    "svg": 'svg size 1200,620 font "DejaVu Sans,13" background "#ffffff" rounded',
    "png": 'pngcairo size 1200,620 font "DejaVu Sans,11" background "#ffffff" rounded',
}


def bars(programs, key, shift):
    """(x, how many times better) of one series."""
    return [(index + 1 + shift, program["ratios"][key])
            for index, program in enumerate(programs) if program["ratios"].get(key)]


def times_text(ratio):
    """A ratio as a person writes it."""
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.1f}×"


def label_commands(points, first):
    """A number above (or, for a bar that hangs, below) each bar."""
    commands = []
    for number, (x, ratio) in enumerate(points):
        offset = "0,0.6" if ratio >= 1 else "0,-0.6"
        commands.append(f'set label {first + number} "{times_text(ratio)}" at {x:.3f},{ratio:.4f} '
                        f'center offset {offset} font ",11" textcolor rgb "#222222" front')
    return commands


def axis(values):
    """The y axis' range, which holds 1 and all values, and its marks, powers of two."""
    low, high = 1.0, 1.5 * max(values)
    while low > min(values) / 1.35:
        low /= 2
    marks, mark = [], low
    while mark <= high:
        text = "{/:Bold TCP}" if mark == 1 else f"{mark:g}×" if mark > 1 else f"1/{1 / mark:g}×"
        marks.append(f'"{text}" {mark}')
        mark *= 2
    return low if low < 1 else 0.9, high, ", ".join(marks)


def draw(programs, where, directory):
    """Write demo.svg and demo.png into @directory.

    programs: dictionaries with "label" (of two lines) and "ratios" (better is above 1).
    """
    plots, labels, everything = [], [], [1.0]
    for index, (key, title, colour) in enumerate(SERIES):
        points = bars(programs, key, (index - 1) * BAR)
        if not points:
            continue
        name = os.path.join(directory, f"{key}.dat")
        with open(name, "w", encoding="ascii") as file:
            file.writelines(f"{x} {ratio}\n" for x, ratio in points)
        everything += [ratio for _, ratio in points]
        labels += label_commands(points, 10 + 100 * index)
        plots.append(f'"{name}" using 1:2:($1-{BAR / 2 - 0.01}):($1+{BAR / 2 - 0.01}):(1):2 '
                     f'with boxxyerror linecolor rgb "{colour}" title "{title}"')
    low, high, ytics = axis(everything)
    xtics = ", ".join(f'"{program["label"]}" {index + 1}'
                      for index, program in enumerate(programs))
    for kind, terminal in TERMINALS.items():
        script = SCRIPT.format(
            terminal=terminal, output=os.path.join(directory, f"demo.{kind}"), low=low, high=high,
            right=len(programs) + 0.55, ytics=ytics, xtics=xtics, labels="\n".join(labels),
            plots=", ".join(plots), where=where)
        subprocess.run(["gnuplot", "-"], input=script.encode(), check=True, timeout=30)
    for key, _, _ in SERIES:
        name = os.path.join(directory, f"{key}.dat")
        if os.path.exists(name):
            os.unlink(name)
