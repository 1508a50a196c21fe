"""Parts of CARLA's behaviour that nothing but its clients needs: instruments, radios, recorder, navigation mesh."""
