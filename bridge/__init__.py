"""Everything on the simulator's side of ZeroMQ: messages and sockets, the CARLA bridge, the embedded town."""
