"""What every command needs: how it fails, how it tells its progress, what the machine is."""
