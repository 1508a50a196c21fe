"""The bridge with SUMO's traffic: ``bridge.carla_bridge`` with a .sumocfg as its scenario.

python -m scenarios.sumo.play --carla 127.0.0.1:2000 --scenario city.sumocfg
"""

from bridge.carla_bridge import serve
from bridge.carla_client.options import BridgeOptions
from bridge.process.lifetime import end
from bridge.process.options import parse
from scenarios.sumo.sumo_traffic import SumoTraffic

if __name__ == "__main__":
    end(serve(parse(BridgeOptions, None, "bridge"), SumoTraffic))
