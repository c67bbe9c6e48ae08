"""Benches and comparisons: what the appliance does, measured and checked."""
