"""Limits on what an untrusted file, connection or message may cost, each with its reason.

Legitimate files stay below all of them by a wide margin; an input that exceeds one is refused with a line that names
the limit. Sizes are in bytes.
"""

KIB, MIB = 1 << 10, 1 << 20

# Text. PyYAML's nodes cost some 500 bytes each, lxml's and expat's elements up to as much.
YAML_SIZE = MIB  # the longest shipped scenario has 4 KiB, the longest model card 30
YAML_NODES = 100_000  # with aliases expanded: ten aliases of ten aliases, eight levels deep, are 10^8
YAML_DEPTH = 16  # the scenario language needs 9
OPENSCENARIO_SIZE = MIB  # one scenario
CATALOG_SIZE = 4 * MIB
CATALOG_FILES = 64  # in one folder: a scenario may name any folder of this machine
ATTRIBUTE = 4 * KIB  # characters of an attribute with its parameters substituted: each parameter can double another
EXPRESSION = 256  # characters of an arithmetic expression: parsers recurse
OPENDRIVE_SIZE = 64 * MIB  # CARLA's largest shipped town has 16; also the largest message on the town's port
OPENDRIVE_ELEMENTS = 100_000  # 300 bytes each as a tree; the largest of CARLA's Town01 to Town10HD has 30,000
OPENDRIVE_DEPTH = 32  # the standard nests 9 deep; serialising a tree recurses
#: Number of certain elements in one file. The comments give the maximum of CARLA's Town01 to Town10HD.
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
OPENDRIVE_CORNERS = 500  # of one object: triangulating its outline takes quadratic time
OPENDRIVE_LENGTH = 30_000.0  # m, of all roads; CARLA's Town04 has 11 km, oldtown 10
OPENDRIVE_AREA = 25e6  # m2, bounding box of all roads, which land and woods fill; Town04 has under 1 km2
OPENDRIVE_CLIMB = 2000.0  # m from the lowest road to the highest
OPENDRIVE_LANES = 180_000.0  # m, of all lanes; CARLA's Town04 has 58 km, the motorways of UN Regulation 157 up to 160
LANE_WIDTH = 100.0  # m; the widest real lanes are those of toll plazas, some 30
MAP_MEMORY = 640 * MIB  # to read a map, and again to build its town, in addition to what the process already uses
MAP_READING = 4  # s of CPU time for `carla.Map`; CARLA's towns take half a second
MAP_BUILDING = 8.0  # s of CPU time for the town; CARLA's Town03 and Town04 take the longest, 3 to 4.5

# Images. One pixel of a label map takes 1 byte decoded, and some 40 while it is rendered.
PIXELS = 1 << 26  # of one image: 67 million, two 8K frames
SIDE = 4096  # pixels per side of a camera, as in the scenario language
PICTURE_SIZE = 256 * MIB  # of an image file
RECORDING_FILES = 2_000_000  # in a folder of a recording: a day at 20 Hz
RECORDING_DEPTH = 8  # folders below one another
POSES_SIZE = 256 * MIB  # of a file of poses: a million of them as JSON

# Recordings. A chunk closes with the message that fills it: its own 8 MiB and a plane of 4096 x 4096 f32 at most.
CHUNK = 96 * MIB  # decompressed
UNPACKED = 256 * MIB  # of all chunks, decompressed, plus `PACKED` times the size of the file
PACKED = 1000  # a stationary car, tags only, compresses to 1/145
CHUNKS_KEPT = 32 * MIB  # of decompressed chunks, cached for the next frame
CHUNK_RECORDS = 1 << 17  # in one chunk, of any kind: 250 bytes each as Python objects
RECORD = MIB  # of any record that is not a chunk, attachment or message: schemas, channels, metadata, an index
ATTACHMENT = OPENDRIVE_SIZE  # the scenario's map
ATTACHMENTS = 8
JSON_SIZE = 4 * MIB  # of one message: 4096 objects with their poses take half of it
JSON_ITEMS = 4096  # of objects, lamps, actors and events, each, as on the link
VIEWS = 8  # cameras of one scenario
MASKS = 1 << 28  # pixels in the column ranges of an image's objects, added up: 16 images of 4096 x 4096
WAITING = 192 * MIB  # of frames queued between two threads
SLOWEST, FASTEST = 0.1, 240.0  # frames per second

# Models and class maps.
CARD_STYLES = 64
CARD_STEPS = 100
CARD_CHANNELS = 256
CARD_MULTIPLE = 1024  # pixels: images are padded to a multiple of a number up to this
CLASSES_NESTED = 8  # length of a chain of class maps, each `like` the next
