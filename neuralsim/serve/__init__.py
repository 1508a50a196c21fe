"""``neuralsim serve``: a drive in a browser over WebRTC."""
