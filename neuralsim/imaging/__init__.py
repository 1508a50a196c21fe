"""Image files, optical flow and pseudo-depth of label maps, shared by rendering, training and evaluation."""
