"""Small files as other programs write them: maps, scenarios and label maps of every kind that NeuralSim reads."""
