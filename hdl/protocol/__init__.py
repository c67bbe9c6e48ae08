"""The definition of every byte that crosses the appliance's border."""
