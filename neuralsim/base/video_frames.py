"""Images as frames for a video encoder."""

import av
import numpy as np


def shared(image: np.ndarray, layout: str) -> av.VideoFrame:
    """Return ``image``, u8 (H, W, C) of a packed ``layout`` such as "rgb24", as a frame that shares its memory."""
    return av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format=layout)


def for_encoder(image: np.ndarray, layout: str, encoded: str) -> av.VideoFrame:
    """Return a frame in the encoder's format, such as "yuv420p", BT.709 with limited range: converted, never copied.

    Args:
        image: u8 (H, W, C), even sides.
        layout: Its format, such as "rgb24".
        encoded: That of the frame.
    """
    return shared(image, layout).reformat(format=encoded, dst_colorspace="ITU709", dst_color_range="MPEG")
