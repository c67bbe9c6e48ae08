"""What the appliance sits on: one short file a board."""
