"""Image files, optical flow and the depth that a label map suggests: shared by rendering, training and evaluation."""
