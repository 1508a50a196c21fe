"""Writers for MCAP and MP4, each in a thread of its own."""
