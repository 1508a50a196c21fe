"""``python -m bridge.town.carla_server``: the embedded simulator as a process."""

from bridge.town.carla_server.process import main

if __name__ == "__main__":
    main()
