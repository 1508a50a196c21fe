"""Run the embedded simulator as a process: ``python -m neuralsim.town.carla_server``."""

from neuralsim.town.carla_server.process import main

if __name__ == "__main__":
    main()
