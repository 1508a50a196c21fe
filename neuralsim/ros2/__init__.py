"""``neuralsim ros2``: a town whose cars ROS 2 drives, over DDS, without an installation of ROS."""
