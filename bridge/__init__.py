"""The simulator's side of the ZeroMQ link: messages, sockets and the CARLA bridge."""
