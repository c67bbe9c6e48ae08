"""From the design to what a board is loaded with: bitstreams, vendor projects, flashing."""
