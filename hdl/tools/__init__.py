"""From the design to what a board is loaded with: bitstreams, projects of vendors, flashing."""
