"""The bridge with somebody to direct it: ``bridge.carla_client.carla_bridge`` that can play scenarios.

python -m scenarios.play --carla 127.0.0.1:2000 --scenario scenarios/library/following.yaml
"""

from __future__ import annotations

from bridge.carla_client.carla_bridge import end, main
from scenarios.engine.director import Director

if __name__ == "__main__":
    end(main(direct=Director))
