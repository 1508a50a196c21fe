"""Everything on the simulator's side of ZeroMQ: the link's messages and sockets, the CARLA bridge, the embedded town."""
