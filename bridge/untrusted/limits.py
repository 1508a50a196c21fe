"""How much a file, a connection or a message of a stranger may cost, each with its reason.

Honest files stay below every one of these by a wide margin; who meets one gets a line that names it. Sizes are bytes.
"""

from __future__ import annotations

KIB, MIB = 1 << 10, 1 << 20

# Text. PyYAML's nodes cost some 500 bytes each, lxml's and expat's elements up to as much.
YAML_SIZE = MIB  # the longest shipped scenario has 4 KiB, the longest card 30
YAML_NODES = 100_000  # with aliases expanded: ten aliases of ten aliases, eight deep, are 10^8
YAML_DEPTH = 16  # the scenario language needs 9
OPENSCENARIO_SIZE = MIB  # a scenario
CATALOG_SIZE = 4 * MIB
CATALOG_FILES = 64  # in one folder: it may name any folder of this machine
ATTRIBUTE = 4 * KIB  # characters of an attribute with its parameters filled in: parameters can double each other
EXPRESSION = 256  # characters of an arithmetic expression: parsers recurse
OPENDRIVE_SIZE = 64 * MIB  # CARLA's largest shipped town has 16; also the largest message of the town's port
OPENDRIVE_ELEMENTS = 100_000  # 300 bytes each as a tree; of CARLA's Town01 to Town10HD the most has 30,000
OPENDRIVE_DEPTH = 32  # the standard nests 9 deep; writing a tree out recurses
#: Of some elements, in one file. Beside each: the most of CARLA's Town01 to Town10HD.
OPENDRIVE_MOST = {
    "road": 2000,  # 279
    "laneSection": 5000,  # 1,037
    "signal": 2000,  # 56
    "signalReference": 4000,  # 122
    "object": 5000,  # 194
    "repeat": 500,  # none
    "cornerLocal": 20_000,  # 837
    "cornerRoad": 20_000,  # none
    "connection": 5000,  # 223
}
OPENDRIVE_CORNERS = 500  # of one object: its outline is cut into triangles, which takes their square
OPENDRIVE_LENGTH = 30_000.0  # m, of all roads; CARLA's Town04 has 11 km, oldtown 10
OPENDRIVE_AREA = 25e6  # m2, of the rectangle round all roads: land and woods lie all over it; Town04 has under 1 km2
OPENDRIVE_CLIMB = 2000.0  # m from the lowest road to the highest
OPENDRIVE_LANES = 120_000.0  # m, of all lanes; CARLA's Town04 has 58 km
LANE_WIDTH = 100.0  # m; the widest lanes of any road are toll plazas' of some 30
MAP_MEMORY = 640 * MIB  # to read a map, and again to build its town, beyond what the process has before
MAP_READING = 4  # s of a processor for `carla.Map`; CARLA's towns take half a second
MAP_BUILDING = 8.0  # s of a processor for the town; CARLA's Town03 and Town04 take the longest, 3 to 4.5

# Pictures. One pixel of a label map is 1 byte decoded, some 40 while it is painted.
PIXELS = 1 << 26  # of one picture: 67 million, two 8K frames
SIDE = 4096  # pixels of one side of a camera, as the scenario language has it
PICTURE_SIZE = 256 * MIB  # of its file

# Recordings. A chunk closes with the message that fills it: its own 8 MiB and a plane of 4096 x 4096 f32 at most.
CHUNK = 96 * MIB  # decompressed
UNPACKED = 256 * MIB  # of all chunks, decompressed, and beyond that `PACKED` times what the file has:
PACKED = 1000  # a car that stands still, its tags alone: to a 145th
CHUNKS_KEPT = 32 * MIB  # of chunks that were decompressed for one frame and may be wanted for the next
CHUNK_RECORDS = 1 << 17  # in one chunk, of any kind: 250 bytes each as Python objects
RECORD = MIB  # of what is neither chunk, attachment nor message: schemas, channels, metadata, an index
ATTACHMENT = OPENDRIVE_SIZE  # the scenario's map
ATTACHMENTS = 8
JSON_SIZE = 4 * MIB  # of one message: 4096 objects with their poses have half of it
JSON_ITEMS = 4096  # objects, lamps, actors, events: each, as on the link
VIEWS = 8  # cameras of one scenario
MASKS = 1 << 28  # pixels of the columns of a picture that its objects lie in: 16 as wide as one of 4096 x 4096
WAITING = 192 * MIB  # of frames between two threads
SLOWEST, FASTEST = 0.1, 240.0  # frames per second

# Models and class maps.
CARD_STYLES = 64
CARD_CHANNELS = 256
CARD_MULTIPLE = 1024  # pixels that pictures are padded to a multiple of
CLASSES_NESTED = 8  # class maps that one is `like`, one after the other
