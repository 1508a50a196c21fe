"""Write a small town with SUMO traffic to drive in: a grid of streets with traffic lights, and flows through it.

python examples/sumo_town.py sumo-town      # then: neuralsim drive --sumo sumo-town/town.sumocfg; needs neuralsim[sumo]
"""

import subprocess
import sys
from pathlib import Path

try:
    from scenarios.sumo.sumo_network import SumoError, program
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "neuralsim[sumo]"')

GRID = {
    "grid.number": "4", "grid.length": "110", "grid.attach-length": "90", "default.lanewidth": "3.4",
    "default-junction-type": "traffic_light", "default.sidewalk-width": "2.5", "sidewalks.guess": "true",
    "default.speed": "11",
}  # fmt: skip
FLOW = '<flow id="{0}{1}" type="{2}" begin="0" end="3600" period="{3}" from="{0}" to="{1}" departSpeed="max"/>'
CONFIG = '<configuration><net-file value="net.xml"/><route-files value="flows.xml"/></configuration>'


def main(folder: str) -> Path:
    """Write the network, the flows and the configuration; return the path of the configuration."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    options = [text for name, value in GRID.items() for text in (f"--{name}", value)]
    subprocess.run([program("netgenerate"), "--grid", *options, "-o", str(out / "net.xml")], check=True)
    ends = [("left0A0", "D0right0"), ("left1A1", "D1right1"), ("right2D2", "A2left2"), ("right3D3", "A3left3")]
    ends += [("bottom0A0", "A3top0"), ("bottom1B0", "B3top1"), ("top2C3", "C0bottom2"), ("top3D3", "D0bottom3")]
    flows = [FLOW.format(start, end, "car", 8) for start, end in ends]
    flows += [FLOW.format(start, ends[k - 3][1], "bus" if k % 2 else "lorry", 45) for k, (start, _) in enumerate(ends)]
    kinds = "".join(
        f'<vType id="{name}" vClass="{kind}"/>'
        for name, kind in (("car", "passenger"), ("bus", "bus"), ("lorry", "truck"))
    )
    (out / "flows.xml").write_text(f"<routes>{kinds}{''.join(flows)}</routes>", encoding="utf-8")
    config = out / "town.sumocfg"
    config.write_text(CONFIG, encoding="utf-8")
    return config


if __name__ == "__main__":
    try:
        main(*(sys.argv[1:2] or ["sumo-town"]))
    except SumoError as error:
        sys.exit(str(error))
