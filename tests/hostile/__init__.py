"""Attacks on NeuralSim: files, messages and calls that strangers might send, and what runs them."""
