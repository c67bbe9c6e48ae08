"""How the host talks to an appliance, whatever it is made of."""
