"""The appliance's PCIe link, behind the four AXI streams of AMD's UltraScale+ integrated block."""
