"""``python -m neuralsim.town.carla_server``: the embedded simulator as a process."""

from neuralsim.town.carla_server.process import main

if __name__ == "__main__":
    main()
